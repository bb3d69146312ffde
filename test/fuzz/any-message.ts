import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Chance } from "../property/chance.ts";
import { type Dictionary, extremeIntegers, extremeNumbers, hostileText } from "./dictionary.ts";

/** Messages deeper than this stop by themselves most of the time; readers have to stop those that do not. */
const USUAL_DEPTH = 6;
/** About so many bytes; what nests widely would grow without end. */
const MOST_BYTES = 64 * 1024;

/**
 * Random bytes that follow a message's descriptor more or less: any field, any number of times, extreme values, text
 * that is not UTF-8, enum values and fields that nobody knows, wrong wire types, and nesting without end.
 */
export function anyMessage(desc: DescMessage, chance: Chance, dictionary: Dictionary): Uint8Array {
  return new AnyMessage(chance, dictionary).bytes(desc, 1);
}

class AnyMessage {
  readonly #chance: Chance;
  readonly #dictionary: Dictionary;
  /** One field in so many breaks the rules of the wire; 0: none. */
  readonly #wrong: number;
  #written = 0;

  constructor(chance: Chance, dictionary: Dictionary) {
    this.#chance = chance;
    this.#dictionary = dictionary;
    this.#wrong = chance.of([0, 0, 4, 20]);
  }

  bytes(desc: DescMessage, depth: number): Uint8Array {
    const chance = this.#chance;
    const writer = new BinaryWriter();
    const shape = chance.of(["few", "most", "one", "none"] as const);
    const share = { few: 4, most: 1, one: desc.fields.length, none: 50 }[shape];
    for (const field of desc.fields) {
      if (share > 1 && !chance.once(share)) continue;
      if (this.#written > MOST_BYTES) break;
      const times = field.fieldKind === "list" || field.fieldKind === "map" ? chance.below(4) : chance.once(30) ? 2 : 1;
      for (let i = 0; i < times; i++) this.#field(writer, field, depth);
    }
    if (this.#wrong > 0 && chance.once(this.#wrong)) this.#strange(writer);
    const bytes = writer.finish();
    this.#written += bytes.length;
    return bytes;
  }

  #field(writer: BinaryWriter, field: DescField, depth: number): void {
    const chance = this.#chance;
    if (this.#wrong > 0 && chance.once(this.#wrong)) {
      this.#wrongType(writer, field.number);
      return;
    }
    switch (field.fieldKind === "list" ? field.listKind : field.fieldKind) {
      case "message":
        this.#message(writer, field.number, field.message as DescMessage, depth);
        return;
      case "enum":
        writer.tag(field.number, WireType.Varint).int32(this.#enumNumber());
        return;
      case "scalar":
        this.#scalar(writer, field.number, field.scalar as ScalarType, field.name);
        return;
      case "map": {
        if (field.fieldKind !== "map") return;
        writer.tag(field.number, WireType.LengthDelimited).fork();
        if (!chance.once(10)) this.#scalar(writer, 1, field.mapKey, "column");
        if (field.mapKind === "message" && !chance.once(10)) this.#message(writer, 2, field.message, depth);
        writer.join();
      }
    }
  }

  #message(writer: BinaryWriter, number: number, desc: DescMessage, depth: number): void {
    const chance = this.#chance;
    if (depth === 1 && chance.once(200)) {
      this.#abyss(writer, number, chance.between(40, 5_000));
      return;
    }
    const goesOn = depth < USUAL_DEPTH || (depth < 90 && chance.once(3));
    writer.tag(number, WireType.LengthDelimited).bytes(goesOn ? this.bytes(desc, depth + 1) : new Uint8Array());
  }

  /** The same field in itself, over and over: NOT of NOT, lists of lists, arrays of arrays. */
  #abyss(writer: BinaryWriter, number: number, depth: number): void {
    let inner: Uint8Array<ArrayBufferLike> = new Uint8Array();
    const chain = this.#chance.of([[6], [4, 1], [5, 1], [11, 1], [1]]);
    for (let i = 0; i < depth; i++)
      inner = new BinaryWriter()
        .tag(chain[i % chain.length] ?? 1, WireType.LengthDelimited)
        .bytes(inner)
        .finish();
    writer.tag(number, WireType.LengthDelimited).bytes(inner);
  }

  #enumNumber(): number {
    const chance = this.#chance;
    return chance.once(6) ? chance.of([-1, 99, 127, 128, 2 ** 31 - 1, -(2 ** 31)]) : chance.below(24);
  }

  #scalar(writer: BinaryWriter, number: number, type: ScalarType, name: string): void {
    const chance = this.#chance;
    switch (type) {
      case ScalarType.STRING:
        writer.tag(number, WireType.LengthDelimited).bytes(this.#text(name));
        return;
      case ScalarType.BYTES:
        writer.tag(number, WireType.LengthDelimited).bytes(this.#noise(chance.of([0, 1, 16, 32, 300])));
        return;
      case ScalarType.DOUBLE:
        writer.tag(number, WireType.Bit64).double(chance.of(extremeNumbers));
        return;
      case ScalarType.BOOL:
        writer.tag(number, WireType.Varint).uint32(chance.of([0, 1, 1, 2, 77]));
        return;
      default:
        writer.tag(number, WireType.Varint).int64(chance.once(2) ? chance.below(100) : chance.of(extremeIntegers));
    }
  }

  #text(name: string): Uint8Array {
    const chance = this.#chance;
    if (chance.once(12)) return this.#noise(chance.between(1, 20)); // not UTF-8, most of the time
    if (chance.once(400)) return Buffer.alloc(chance.between(1_000, 300_000), chance.of(["x", "(", "é", "\\", '"']));
    const known = this.#dictionary.texts[name];
    return Buffer.from(known && !chance.once(4) ? chance.of(known) : chance.of(hostileText));
  }

  #noise(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#chance.below(256));
  }

  #wrongType(writer: BinaryWriter, number: number): void {
    const chance = this.#chance;
    const type = chance.below(8);
    writer.uint32(((number << 3) | type) >>> 0);
    writer.raw(this.#noise(chance.below(12)));
  }

  /** What the descriptor does not have. */
  #strange(writer: BinaryWriter): void {
    const chance = this.#chance;
    switch (chance.below(5)) {
      case 0:
        writer
          .tag(chance.of([0, 50, 19_000, 2 ** 29 - 1]), WireType.Varint)
          .uint64(chance.of(extremeIntegers) & ~(1n << 63n) & ((1n << 63n) - 1n));
        return;
      case 1: {
        const depth = chance.of([1, 90, 3_000]);
        for (let i = 0; i < depth; i++) writer.tag(77, WireType.StartGroup);
        if (chance.once(2)) for (let i = 0; i < depth; i++) writer.tag(77, WireType.EndGroup);
        return;
      }
      case 2:
        writer.raw(Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
        return;
      case 3:
        writer.tag(1, WireType.LengthDelimited).uint32(chance.of([1, 1000, 2 ** 31 - 1, 2 ** 32 - 1]));
        return;
      default:
        writer.raw(this.#noise(chance.between(1, 30)));
    }
  }
}
