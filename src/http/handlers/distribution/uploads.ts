import type { IncomingMessage } from 'node:http';
import type { Caller, RepositoryDirectory, UploadChunk, UploadStatus } from '../../../ports/repository.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import { parseAlgorithm, parseDigest, type Digest } from '../../../protocol/digest.js';
import { locations, type RegistryParams } from '../../../protocol/tables/endpoints.js';
import { RegistryError } from '../../../protocol/errors.js';
import { formatUploadRange, parseContentRange } from '../../../protocol/headers.js';
import { tryParseName, type SessionId } from '../../../protocol/names.js';
import { declaredLength, openBody } from '../../bodies/body.js';
import type { Exchange, Handler, RequestTarget } from '../../exchange.js';
import type { Reply } from '../../reply.js';
import { writerOf } from '../../writer.js';

type Place = Pick<Exchange<RegistryParams<'upload.start'>>, 'caller' | 'prefix' | 'target'>;

/** Creates the handler that mounts a blob, stores a whole blob, or starts an upload session (end-4a, 4b, 4c, 11). */
export function createStartUpload(directory: () => RepositoryDirectory): Handler<RegistryParams<'upload.start'>> {
  return async (exchange) => {
    const { query, target, req, caller, client } = exchange;
    const writer = writerOf(target);
    const { image } = target.at;
    const mount = query.get('mount');
    if (mount !== null) {
      const digest = parseDigest(mount);
      const from = await resolveSource(query.get('from'), directory(), caller, client.host, digest);
      // A failed mount is not an error: the client continues with the upload session (end-11).
      if (from !== 'unknown' && (await writer.mountBlob(caller, image, digest, from)))
        return blobCreated(exchange, digest);
    }
    const whole = query.get('digest');
    if (whole !== null && mount === null) {
      const digest = parseDigest(whole);
      await writer.putBlob(caller, image, digest, openBody(req), declaredLength(req));
      return blobCreated(exchange, digest);
    }
    const algorithm = parseAlgorithm(query.get('digest-algorithm') ?? 'sha256');
    const status = await writer.startUpload(caller, image, algorithm);
    return { status: 202, headers: describe(exchange, status, '202') };
  };
}

/** Returns the progress of an upload (end-13). */
export const getUploadStatus: Handler<RegistryParams<'upload.status'>> = async (exchange) => {
  const status = await writerOf(exchange.target).uploadStatus(
    exchange.caller,
    exchange.target.at.image,
    exchange.params.session,
  );
  return { status: 204, headers: describe(exchange, status, 'status') };
};

/** Appends a chunk to an upload (end-5). */
export const appendUpload: Handler<RegistryParams<'upload.append'>> = async (exchange) => {
  const { target, params } = exchange;
  const status = await withProgress(exchange, params.session, () =>
    writerOf(target).appendUpload(exchange.caller, target.at.image, params.session, readChunk(exchange.req)),
  );
  return { status: 202, headers: describe(exchange, status, '202') };
};

/** Appends the last chunk and stores the blob (end-6). */
export const completeUpload: Handler<RegistryParams<'upload.complete'>> = async (exchange) => {
  const { target, params, query } = exchange;
  const digest = parseDigest(query.get('digest') ?? '');
  await withProgress(exchange, params.session, () =>
    writerOf(target).completeUpload(exchange.caller, target.at.image, params.session, digest, readChunk(exchange.req)),
  );
  return blobCreated(exchange, digest);
};

/** Cancels an upload (end-14). */
export const cancelUpload: Handler<RegistryParams<'upload.cancel'>> = async ({ caller, target, params }) => {
  await writerOf(target).cancelUpload(caller, target.at.image, params.session);
  return { status: 204 };
};

function readChunk(req: IncomingMessage): UploadChunk {
  const source = openBody(req);
  const header = req.headers['content-range'];
  const announced = declaredLength(req);
  if (header === undefined) return { source, announcedBytes: announced };
  const range = parseContentRange(header);
  if (announced === undefined || announced === range.end - range.start + 1) return { source, range };
  throw new RegistryError('SIZE_INVALID', {
    message: 'Content-Range and Content-Length differ',
    detail: { contentRange: header, contentLength: announced },
  });
}

/** Adds the current progress to a 416, so that the client can resume (distribution-spec, "Pushing a blob in chunks"). */
async function withProgress<T>(exchange: Place, session: SessionId, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== 'RANGE_INVALID') throw error;
    const status = await writerOf(exchange.target).uploadStatus(exchange.caller, exchange.target.at.image, session);
    throw new RegistryError('RANGE_INVALID', {
      message: error.message,
      detail: error.detail,
      headers: describe(exchange, status, 'status'),
    });
  }
}

function describe({ prefix, target }: Place, status: UploadStatus, answer: '202' | 'status'): Record<string, string> {
  return {
    Location: prefix + locations.upload(target.name, status.id),
    Range: formatUploadRange(status.size, answer),
    'Docker-Upload-UUID': status.id,
    ...(status.minChunkBytes === undefined ? {} : { 'OCI-Chunk-Min-Length': String(status.minChunkBytes) }),
  };
}

function blobCreated({ prefix, target }: { prefix: string; target: RequestTarget }, digest: Digest): Reply {
  return {
    status: 201,
    headers: { Location: prefix + locations.blob(target.name, digest), 'Docker-Content-Digest': digest },
  };
}

/**
 * Finds the image that holds the blob of a mount. Returns `undefined` without `from`, and `'unknown'` if the name is
 * malformed, unknown or hidden from the caller.
 */
async function resolveSource(
  from: string | null,
  directory: RepositoryDirectory,
  caller: Caller,
  host: string | undefined,
  digest: Digest,
): Promise<ImageKey | undefined | 'unknown'> {
  if (from === null) return undefined;
  const name = tryParseName(from);
  if (name === undefined) return 'unknown';
  const source = directory.resolve(name, { host });
  if (source.repository === undefined || !(await caller.mayMountFrom(source.at, name))) return 'unknown';
  return (await source.repository.findHeldBlob(caller, source.at.image, digest))?.at ?? 'unknown';
}
