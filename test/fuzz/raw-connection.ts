import { connect, type Socket } from "node:net";

/** What HTTP/2 calls the kinds of its frames. */
export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
export const END_STREAM = 1;
export const END_HEADERS = 4;

/** One HTTP/2 frame; the length may be a lie. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array,
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Headers as HPACK literals without indexing, so that no state is needed. */
export function headerBlock(headers: Record<string, string>): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, "latin1");
    return Buffer.concat([integer(bytes.length, 7), bytes]);
  };
  return Buffer.concat(Object.entries(headers).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

/** An integer of HPACK with so many bits in its first byte. */
function integer(value: number, bits: number): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.from([value]);
  const bytes = [most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** The headers of a gRPC call. */
export function callHeaders(address: string, path: string, more: Record<string, string> = {}): Buffer {
  return headerBlock({
    ":method": "POST",
    ":scheme": "http",
    ":authority": address,
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...more,
  });
}

/** The beginning of every HTTP/2 connection, with a window of the given size for each stream. */
export function opening(window = 65_535): Buffer {
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(4, 0);
  settings.writeUInt32BE(window, 2);
  return Buffer.concat([preface, frame(frameTypes.settings, 0, 0, settings)]);
}

/** A connection on which any bytes go out. What comes back is counted and dropped. */
export class RawConnection implements AsyncDisposable {
  readonly socket: Socket;
  received = 0;
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => {}); // a reset by the server is one of its answers
  }

  /** host:port. One that does not read leaves what the server sends in the kernel's buffers. */
  static async open(address: string, { reads = true } = {}): Promise<RawConnection> {
    const [host = "", port] = address.split(":");
    const socket = connect({ host, port: Number(port), noDelay: true });
    const connection = new RawConnection(socket);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    if (reads)
      socket.on("data", (chunk) => {
        connection.received += chunk.length;
      });
    else socket.pause();
    return connection;
  }

  /** Resolves once the bytes are with the kernel, or the connection is closed. */
  async send(...pieces: readonly Uint8Array[]): Promise<void> {
    const bytes = pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
    if (this.socket.destroyed || this.socket.writableEnded) return;
    await Promise.race([new Promise<void>((resolve) => this.socket.write(bytes, () => resolve())), this.closed]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }
}
