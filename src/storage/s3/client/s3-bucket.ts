import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ByteRange } from '../../../ports/bytes.js';
import type { UploadedPart } from '../../../ports/metadata/object-ledger.js';
import { algorithmOf, hexOf, isDigest, type Digest } from '../../../protocol/digest.js';
import type { S3Connection } from '../s3-options.js';
import type { S3Answer, S3Client, S3Stream } from './s3-client.js';
import { isMissing, S3Error } from './s3-errors.js';
import { buildDeletion, buildPartList, findAll, findText } from './s3-xml.js';

/** The size of an object and its ETag, which changes with the bytes. */
export interface ObjectHead {
  readonly size: number;
  readonly etag: string;
}

/** An object in a list. */
export interface ListedObject {
  readonly key: string;
  readonly modifiedAt: number;
}

/** Bytes of an object to copy. */
export interface CopySource {
  readonly key: string;
  readonly range: ByteRange;
}

/** The requests that the blob store sends to its bucket. Keys are without the prefix. */
export class S3Bucket {
  readonly #client: S3Client;
  readonly #encryption: Readonly<Record<string, string>>;

  constructor(client: S3Client, { encryption }: Pick<S3Connection, 'encryption'>) {
    this.#client = client;
    this.#encryption =
      encryption === undefined
        ? {}
        : {
            'X-Amz-Server-Side-Encryption': encryption.algorithm,
            ...(encryption.keyId === undefined
              ? {}
              : { 'X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id': encryption.keyId }),
          };
  }

  /** Writes a whole object. @param digest of the bytes, if it is known: the service refuses others. */
  async put(key: string, body: Buffer, digest?: Digest): Promise<ObjectHead> {
    const known = digest !== undefined && algorithmOf(digest) === 'sha256';
    const headers = {
      ...this.#encryption,
      ...(known ? { 'X-Amz-Content-Sha256': hexOf(digest) } : checksumOf(body)),
      ...(digest === undefined ? {} : { 'X-Amz-Meta-Digest': digest }),
    };
    const answer = await this.#client.call({ method: 'PUT', key, headers, body });
    return { size: body.length, etag: etagOf(answer.headers) };
  }

  /** Reads a whole object; `undefined` when there is none. */
  async get(key: string): Promise<Buffer | undefined> {
    try {
      return (await this.#client.call({ method: 'GET', key })).body;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Opens a part of an object. @throws S3Error with status 404, or 412 when the object has another etag. */
  open(key: string, etag: string, range?: ByteRange): Promise<S3Stream> {
    const headers = {
      'If-Match': etag,
      ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end}` }),
    };
    return this.#client.open({ method: 'GET', key, headers });
  }

  /** Returns a URL from which anyone can get the object for a number of seconds. It is a secret. */
  presign(key: string, validSeconds: number): Promise<string> {
    return this.#client.presign(key, validSeconds);
  }

  /** Yields the objects whose keys begin with a prefix. */
  async *list(prefix: string): AsyncGenerator<ListedObject> {
    const own = this.#client.prefix;
    let token: string | undefined;
    do {
      const more = token === undefined ? {} : { 'continuation-token': token };
      const query = { 'list-type': '2', prefix: own + prefix, ...more };
      const xml = (await this.#client.call({ method: 'GET', key: undefined, query })).body.toString();
      for (const item of findAll(xml, 'Contents')) {
        const key = (findText(item, 'Key') ?? '').slice(own.length);
        yield { key, modifiedAt: Date.parse(findText(item, 'LastModified') ?? '') };
      }
      token = findText(xml, 'NextContinuationToken');
    } while (token !== undefined);
  }

  /** Returns the size and the ETag of an object, or `undefined` if it does not exist. */
  async head(key: string): Promise<ObjectHead | undefined> {
    const headers = await this.#headersOf(key);
    return headers && headOf(headers);
  }

  /** Returns also the digest that `put` got, if it is known; no one has verified it. */
  async describe(key: string): Promise<(ObjectHead & { readonly digest?: Digest | undefined }) | undefined> {
    const headers = await this.#headersOf(key);
    if (headers === undefined) return undefined;
    const digest = headers['x-amz-meta-digest'];
    return { ...headOf(headers), digest: typeof digest === 'string' && isDigest(digest) ? digest : undefined };
  }

  /** Deletes an object. Does nothing if it does not exist. */
  async delete(key: string): Promise<void> {
    try {
      await this.#client.call({ method: 'DELETE', key });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  /**
   * Deletes up to 1000 objects in one request. Returns those that the service did not delete, and why.
   * @throws S3Error when the service does not know this request
   */
  async deleteAll(keys: readonly string[]): Promise<ReadonlyMap<string, S3Error>> {
    const body = buildDeletion(keys.map((key) => this.#client.prefix + key));
    const headers = { 'Content-MD5': createHash('md5').update(body).digest('base64'), ...checksumOf(body) };
    const request = { method: 'POST', key: undefined, query: { delete: '' }, headers, body } as const;
    const answer = await this.#client.call({ ...request, hasItemErrors: true });
    const refused = findAll(answer.body.toString(), 'Error').map((xml) => {
      const code = findText(xml, 'Code') ?? '';
      const name = findText(xml, 'Key');
      // The whole request failed after the headers were sent.
      if (name === undefined) throw new S3Error('POST ?delete', answer.status, code, findText(xml, 'Message') ?? '');
      const key = name.slice(this.#client.prefix.length);
      return [key, new S3Error(`DELETE ${key}`, answer.status, code, findText(xml, 'Message') ?? '')] as const;
    });
    return new Map(refused.filter(([, { code }]) => code !== 'NoSuchKey'));
  }

  /** Starts a multipart upload. Returns its id. */
  async startUpload(key: string): Promise<string> {
    const query = { uploads: '' };
    const { body } = await this.#client.call({ method: 'POST', key, query, headers: this.#encryption });
    const id = findText(body.toString(), 'UploadId');
    if (id === undefined) throw new S3Error(`POST ${key}?uploads`, 200, 'NoUploadId', '');
    return id;
  }

  async uploadPart(key: string, uploadId: string, number: number, body: Buffer): Promise<UploadedPart> {
    const query = { partNumber: String(number), uploadId };
    const { headers } = await this.#client.call({ method: 'PUT', key, query, headers: checksumOf(body), body });
    return { number, size: body.length, etag: etagOf(headers) };
  }

  /** Lets the service copy a range of an object to a part. */
  async copyPart(key: string, uploadId: string, number: number, source: CopySource): Promise<UploadedPart> {
    const { start, end } = source.range;
    const headers = {
      'X-Amz-Copy-Source': this.#client.copySource(source.key),
      'X-Amz-Copy-Source-Range': `bytes=${start}-${end}`,
    };
    const request = { method: 'PUT', key, query: { partNumber: String(number), uploadId }, headers } as const;
    const etag = findText((await this.#client.call(request)).body.toString(), 'ETag') ?? '';
    return { number, size: end - start + 1, etag };
  }

  /** Returns the parts that the service has received, by number. @throws S3Error with status 404 like `completeUpload` */
  async listParts(key: string, uploadId: string): Promise<readonly UploadedPart[]> {
    const parts: UploadedPart[] = [];
    let marker: string | undefined = '0';
    do {
      const query: Record<string, string> = { uploadId, 'part-number-marker': marker };
      const xml: string = (await this.#client.call({ method: 'GET', key, query })).body.toString();
      for (const item of findAll(xml, 'Part')) {
        const etag = findText(item, 'ETag') ?? '';
        parts.push({ number: Number(findText(item, 'PartNumber')), size: Number(findText(item, 'Size')), etag });
      }
      marker = findText(xml, 'IsTruncated') === 'true' ? findText(xml, 'NextPartNumberMarker') : undefined;
    } while (marker !== undefined);
    return parts;
  }

  /** @throws S3Error with status 404 when the upload does not exist, or is complete already. */
  async completeUpload(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void> {
    await this.#client.call({ method: 'POST', key, query: { uploadId }, body: buildPartList(parts) });
  }

  /** Ends a multipart upload that is not complete, if there is one. */
  async abortUpload(key: string, uploadId: string): Promise<void> {
    try {
      await this.#client.call({ method: 'DELETE', key, query: { uploadId } });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  close(): void {
    this.#client.close();
  }

  async #headersOf(key: string): Promise<S3Answer['headers'] | undefined> {
    try {
      return (await this.#client.call({ method: 'HEAD', key })).headers;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }
}

function headOf(headers: S3Answer['headers']): ObjectHead {
  return { size: Number(headers['content-length']), etag: etagOf(headers) };
}

/** Returns a header with which the service checks what it received. */
function checksumOf(body: Buffer): Record<string, string> {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  return { 'X-Amz-Checksum-Crc32': sum.toString('base64') };
}

function etagOf(headers: S3Answer['headers']): string {
  return headers.etag ?? '';
}
