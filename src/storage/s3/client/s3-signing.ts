import type { S3Connection } from '../s3-options.js';

/** A request before it is signed. */
interface UnsignedRequest {
  readonly method: string;
  readonly host: string;
  /** With the query, encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Signs requests. */
export interface Signer {
  /** Returns the headers of a request. */
  sign(request: UnsignedRequest): Promise<Record<string, string>>;
  /** Returns the path of a GET, with a signature that is valid for some seconds. */
  presign(host: string, path: string, validSeconds: number): Promise<string>;
}

/** Loads the signer. @throws Error that names the package when it is not installed. */
export async function createSigner({ region, credentials }: S3Connection): Promise<Signer> {
  const { sign } = await import('aws4').then(
    (module) => module.default,
    (cause: unknown) => {
      throw new Error('blobs in S3 need the package aws4: run npm install aws4', { cause });
    },
  );
  const keys = async () => {
    const { accessKeyId, secretAccessKey, sessionToken } = await credentials();
    return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
  };
  return {
    async sign({ method, host, path, headers }) {
      const request = { service: 's3', region, method, host, path, headers: { ...headers } };
      // The signer sets headers of the request, all of them text.
      return sign(request, await keys()).headers as Record<string, string>;
    },
    async presign(host, path, validSeconds) {
      const query = `X-Amz-Expires=${validSeconds}`;
      const request = { service: 's3', region, method: 'GET', host, path: `${path}?${query}`, signQuery: true };
      return sign(request, await keys()).path ?? path;
    },
  };
}
