import { createRegistry, type DescFile, type MessageInitShape, type Registry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import * as v1 from "../../gen/ts/grpc/reflection/v1/reflection_pb.ts";
import * as v1alpha from "../../gen/ts/grpc/reflection/v1alpha/reflection_pb.ts";

type Question = v1.ServerReflectionRequest["messageRequest"];
type Answer = NonNullable<MessageInitShape<typeof v1.ServerReflectionResponseSchema>["messageResponse"]>;

/** Answers reflection requests from the descriptors that the generated code carries. */
export class Reflector {
  readonly #services: { name: string }[];
  readonly #files: ReadonlyMap<string, DescFile>;
  readonly #registry: Registry;

  constructor(roots: readonly DescFile[]) {
    this.#files = withDependencies(roots);
    this.#registry = createRegistry(...this.#files.values());
    const names = roots.flatMap((file) => file.services.map((service) => service.typeName));
    this.#services = names.sort().map((name) => ({ name }));
  }

  answer(question: Question): Answer {
    switch (question.case) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: this.#services } };
      case "fileByFilename":
        return describe(this.#files.get(question.value), question.value);
      case "fileContainingSymbol":
        return describe(this.#fileOfSymbol(question.value), question.value);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = question.value;
        const extendee = this.#registry.getMessage(containingType);
        const extension = extendee && this.#registry.getExtensionFor(extendee, extensionNumber);
        return describe(extension?.file, `${containingType}:${extensionNumber}`);
      }
      case "allExtensionNumbersOfType":
        return this.#extensionNumbers(question.value);
      case undefined:
        return failure(Code.InvalidArgument, "no request is set");
    }
  }

  /** A symbol is a type or a service, or a member of one: field, oneof, method, enum value. */
  #fileOfSymbol(name: string): DescFile | undefined {
    const whole = this.#registry.get(name);
    if (whole) return whole.file;
    const dot = name.lastIndexOf(".");
    const member = name.slice(dot + 1);
    const owner = this.#registry.get(name.slice(0, Math.max(dot, 0)));
    if (owner?.kind === "message") return owner.members.some((m) => m.name === member) ? owner.file : undefined;
    if (owner?.kind === "service") return owner.methods.some((m) => m.name === member) ? owner.file : undefined;
    return this.#fileOfEnumValue(name);
  }

  /** An enum value is named in the scope around its enum. */
  #fileOfEnumValue(name: string): DescFile | undefined {
    for (const type of this.#registry) {
      if (type.kind !== "enum") continue;
      const scope = type.parent?.typeName ?? type.file.proto.package;
      if (type.values.some((value) => name === (scope === "" ? value.name : `${scope}.${value.name}`)))
        return type.file;
    }
    return undefined;
  }

  #extensionNumbers(typeName: string): Answer {
    if (!this.#registry.getMessage(typeName)) return failure(Code.NotFound, `not found: ${typeName}`);
    const extensionNumber: number[] = [];
    for (const type of this.#registry) {
      if (type.kind === "extension" && type.extendee.typeName === typeName) extensionNumber.push(type.number);
    }
    return { case: "allExtensionNumbersResponse", value: { baseTypeName: typeName, extensionNumber } };
  }
}

/** Serves both versions of the service; their messages differ by package alone, so one implementation answers both. */
export function registerReflection(router: ConnectRouter, reflector: Reflector): void {
  type Request = v1.ServerReflectionRequest | v1alpha.ServerReflectionRequest;
  async function* info(requests: AsyncIterable<Request>) {
    for await (const { host, messageRequest } of requests) {
      const question = messageRequest as Question;
      const originalRequest = { host, messageRequest: question };
      yield { validHost: host, originalRequest, messageResponse: reflector.answer(question) };
    }
  }
  router.service(v1.ServerReflection, { serverReflectionInfo: info });
  router.service(v1alpha.ServerReflection, { serverReflectionInfo: info as never });
}

function describe(file: DescFile | undefined, what: string): Answer {
  if (!file) return failure(Code.NotFound, `not found: ${what}`);
  const files = [...withDependencies([file]).values()];
  const fileDescriptorProto = files.map((each) => toBinary(FileDescriptorProtoSchema, each.proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function failure(errorCode: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

/** Files by name as their descriptors have it, the given ones first. */
function withDependencies(roots: readonly DescFile[]): Map<string, DescFile> {
  const found = new Map<string, DescFile>();
  const visit = (file: DescFile): void => {
    if (found.has(file.proto.name)) return;
    found.set(file.proto.name, file);
    file.dependencies.forEach(visit);
  };
  roots.forEach(visit);
  return found;
}
