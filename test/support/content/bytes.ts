import { Readable, Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';

/** Bytes in a KiB and a MiB. */
export const KiB = 1024;
export const MiB = 1024 * 1024;

/** Returns bytes in which all blocks of 64 KiB differ, so that missing, doubled or swapped blocks change the digest. */
export function patternBytes(size: number, seed = 1): Buffer {
  const block = Buffer.alloc(64 * KiB);
  let state = seed;
  for (let at = 0; at < block.length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block.writeUInt32LE(state, at);
  }
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += block.length) {
    block.writeUInt32LE(at / block.length, 0);
    block.copy(bytes, at);
  }
  return bytes;
}

/** Returns a stream of the bytes in pieces of one size. */
export function sourceOf(bytes: Buffer, pieceBytes = 64 * KiB): Readable {
  let at = 0;
  return new Readable({
    read() {
      if (at >= bytes.length) this.push(null);
      else this.push(bytes.subarray(at, (at += pieceBytes)));
    },
  });
}

/** Returns a stream that yields all of the bytes and then fails instead of ending. */
export function brokenSource(bytes: Buffer, error: Error | undefined, pieceBytes = 64 * KiB): Readable {
  let at = 0;
  return new Readable({
    read() {
      if (at < bytes.length) this.push(bytes.subarray(at, (at += pieceBytes)));
      // After the last chunk was consumed, since `destroy` discards buffered data.
      else setImmediate(() => this.destroy(error));
    },
  });
}

/** Collects copies of the chunks. Each write waits for `delayMs`, or for `before`. */
export class CollectingSink extends Writable {
  readonly chunks: Buffer[] = [];

  constructor(delayMs = 0, before: () => Promise<unknown> = () => setTimeout(delayMs)) {
    super({
      highWaterMark: 16 * KiB,
      write: (chunk: Buffer, _encoding, done) => {
        void before().then(() => {
          this.chunks.push(Buffer.from(chunk));
          done();
        });
      },
    });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

/** Accepts the first chunk and never calls back. */
export class StuckSink extends Writable {
  readonly reached: Promise<void>;

  constructor() {
    let reach = (): void => undefined;
    super({ write: () => reach() });
    this.reached = new Promise((resolve) => (reach = resolve));
  }
}
