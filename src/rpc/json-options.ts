import { createRegistry } from "@bufbuild/protobuf";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";

/** Error details are shown in clear beside their bytes, for people who read JSON. */
export const errorJson = { registry: createRegistry(BadRequestSchema, ErrorInfoSchema, RetryInfoSchema) };

/** How JSON is read and written: a field that nobody knows is a mistake, and so are bytes that are not UTF-8. */
export const json = {
  ...errorJson,
  ignoreUnknownFields: false,
  textDecoder: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }),
};
