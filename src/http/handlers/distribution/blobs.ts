import type { RegistryParams } from '../../../protocol/tables/endpoints.js';
import type { Digest } from '../../../protocol/digest.js';
import { RegistryError } from '../../../protocol/errors.js';
import { matchesEntityTag, parseRange } from '../../../protocol/headers.js';
import { plainType } from '../../answer-headers.js';
import type { Handler } from '../../exchange.js';
import type { Reply } from '../../reply.js';
import { writerOf } from '../../writer.js';

/** The body of an answer to HEAD, which only has a length. */
const nothing = { writeTo: () => Promise.resolve() };

/** Answers a HEAD for a blob (end-2). */
export const statBlob: Handler<RegistryParams<'blob.stat'>> = async ({ req, params, caller, target }) => {
  const { digest } = params;
  const blob = await target.repository.statBlob(caller, target.at.image, digest);
  if (blob === undefined) throw blobUnknown(digest);
  const { size, provenance } = blob;
  if (matchesEntityTag(req.headers['if-none-match'], digest)) return { ...notModified(digest), provenance };
  return { status: 200, headers: describe(digest), body: { content: nothing, length: size }, provenance };
};

/** Sends a blob or a range of it (end-2; RFC 9110, 14). */
export const getBlob: Handler<RegistryParams<'blob.get'>> = async ({ req, params, caller, target }) => {
  const { digest } = params;
  const blob = await target.repository.getBlob(caller, target.at.image, digest);
  if (blob === undefined) throw blobUnknown(digest);
  const { size, provenance } = blob;
  if (matchesEntityTag(req.headers['if-none-match'], digest)) return { ...notModified(digest), provenance };
  const isRange = size !== undefined && isCurrent(req.headers['if-range'], digest);
  const range = isRange ? parseRange(req.headers.range, size) : undefined;
  const content = await blob.content(range);
  if (content === undefined) throw blobUnknown(digest);
  if (range === undefined)
    return { status: 200, headers: describe(digest), body: content.bytes ?? { content, length: size }, provenance };
  return {
    status: 206,
    headers: { ...describe(digest), 'Content-Range': `bytes ${range.start}-${range.end}/${size}` },
    body: content.bytes ?? { content, length: range.end - range.start + 1 },
    provenance,
  };
};

/** Deletes a blob from an image (end-10). Other images keep it. */
export const deleteBlob: Handler<RegistryParams<'blob.delete'>> = async ({ caller, params, target }) => {
  if (await writerOf(target).deleteBlob(caller, target.at.image, params.digest)) return { status: 202 };
  throw blobUnknown(params.digest);
};

function describe(digest: Digest): Record<string, string> {
  return {
    'Content-Type': plainType,
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'max-age=31536000, immutable, no-transform',
  };
}

function notModified(digest: Digest): Reply {
  return { status: 304, headers: describe(digest) };
}

/** Evaluates `If-Range` (RFC 9110, 13.1.5). A range of other content is answered with the whole blob. */
function isCurrent(ifRange: string | string[] | undefined, digest: Digest): boolean {
  return ifRange === undefined || ifRange === `"${digest}"`;
}

function blobUnknown(digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', { detail: { digest } });
}
