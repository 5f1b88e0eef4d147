import { createHash } from 'node:crypto';
import { Writable, type Readable } from 'node:stream';
import type { BlobContent, ByteRange } from '../../ports/bytes.js';
import type { ObjectPlace } from '../../ports/metadata/object-ledger.js';
import { formatDigest, type Algorithm, type Digest } from '../../protocol/digest.js';
import { SinkWriter } from '../../util/streams/sink-writer.js';
import type { S3Bucket } from './client/s3-bucket.js';
import { isMissing, isPassing, isReplaced, S3Error, toUnavailable } from './client/s3-errors.js';

/** Consecutive attempts to continue a broken transfer that may yield no bytes. */
const maxResumptions = 3;

/** Called when the object of a place is missing, or has other bytes. Resolves to the error of the reader. */
export type OnMissing = () => Promise<Error>;

/** The bytes of an object, or a range of them. A transfer that breaks off continues where it stopped. */
export class S3Content implements BlobContent {
  readonly size: number;
  readonly #bucket: S3Bucket;
  readonly #place: ObjectPlace;
  readonly #start: number;
  readonly #end: number;
  readonly #onMissing: OnMissing;

  constructor(bucket: S3Bucket, place: ObjectPlace, range: ByteRange | undefined, onMissing: OnMissing) {
    this.size = place.size;
    this.#bucket = bucket;
    this.#place = place;
    this.#start = range?.start ?? 0;
    this.#end = range === undefined ? place.size : range.end + 1;
    this.#onMissing = onMissing;
  }

  async writeTo(sink: Writable): Promise<void> {
    const writer = new SinkWriter(sink);
    try {
      writer.check();
      await this.#copy(sink, writer);
    } finally {
      writer.release();
    }
  }

  redirect(validSeconds: number): Promise<string> {
    return this.#bucket.presign(this.#place.key, validSeconds);
  }

  async #copy(sink: Writable, writer: SinkWriter): Promise<void> {
    let position = this.#start;
    for (let failures = 0; position < this.#end;) {
      const before = position;
      try {
        const body = await this.#open(position);
        for await (const chunk of bytesOf(body, sink)) {
          const bytes = chunk.subarray(0, this.#end - position);
          await writer.write(bytes);
          position += bytes.length;
        }
        if (position < this.#end) throw new Error('the object store sent fewer bytes than announced');
      } catch (error) {
        writer.check();
        if (isMissing(error) || isReplaced(error)) throw await this.#onMissing();
        failures = position > before ? 1 : failures + 1;
        if (!isPassing(error) || failures > maxResumptions) throw error;
      }
    }
  }

  async #open(position: number): Promise<Readable> {
    const { key, etag, size } = this.#place;
    const isWhole = position === 0 && this.#end === size;
    const answer = await this.#bucket.open(key, etag, isWhole ? undefined : { start: position, end: this.#end - 1 });
    const { status, length, body } = answer;
    if (status === (isWhole ? 200 : 206) && length === this.#end - position) return body;
    body.destroy();
    throw new S3Error(`GET ${key}`, status, 'LengthDiffers', `${length} bytes`);
  }
}

/** Yields the chunks of a body, and destroys it when the sink closes: it may have nothing to send for a long time. */
async function* bytesOf(body: Readable, sink: Writable): AsyncGenerator<Buffer> {
  const onClose = (): void => void body.destroy();
  sink.once('close', onClose);
  try {
    // A body without encoding consists of buffers.
    for await (const chunk of body as AsyncIterable<Buffer>) yield chunk;
  } finally {
    sink.off('close', onClose);
    body.destroy();
  }
}

/** Reads an object and returns its digest. @throws RegistryError UNAVAILABLE when it cannot be read */
export async function hashObject(bucket: S3Bucket, place: ObjectPlace, algorithm: Algorithm): Promise<Digest> {
  const hash = createHash(algorithm);
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      done();
    },
  });
  const onMissing = async (): Promise<Error> => new Error(`the object store lost ${place.key}`);
  await new S3Content(bucket, place, undefined, onMissing).writeTo(sink).catch((error: unknown) => {
    throw toUnavailable(error);
  });
  return formatDigest(algorithm, hash);
}
