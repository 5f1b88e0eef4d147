/**
 * The operations of the OCI distribution specification, and its tokens. The handlers of a group share one file;
 * ../../dispatch.ts calls them.
 */
import type { ManifestInfo } from '../../../ports/metadata/images.js';
import { locations, type RegistryParams } from '../../../protocol/tables/endpoints.js';
import { parseCondition } from '../../../protocol/conditions.js';
import { RegistryError } from '../../../protocol/errors.js';
import { matchesEntityTag } from '../../../protocol/headers.js';
import {
  manifestTypes,
  maxManifestBytes,
  measureAnnotations,
  ociIndexType,
  parseManifest,
} from '../../../protocol/manifests/manifest.js';
import { formatReference, parseTag, type Reference, type Tag } from '../../../protocol/names.js';
import { safeContentType } from '../../answer-headers.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';
import { writerOf } from '../../writer.js';
import { bytesPerItem, nextLink, pageOf } from './discovery.js';

/** The maximum number of `tag` parameters; more are refused with 414. The specification requires at least 10 (end-7b). */
const maxTags = 100;
const maxTagPageSize = 10_000;
const maxReferrerPageSize = 1000;
/** Clients limit an index to 4 MiB. */
const maxReferrerPageBytes = 1024 * 1024;

/** Answers a HEAD for a manifest (end-3). Ignores `Accept`: manifests are served as pushed. */
export const statManifest: Handler<RegistryParams<'manifest.stat'>> = async ({ req, params, caller, target, pull }) => {
  const { at, repository } = target;
  const manifest = await (pull === undefined
    ? repository.statManifest(caller, at.image, params.reference)
    : pull(caller, { at, repository, counts: false }, params.reference));
  if (manifest === undefined) throw manifestUnknown(params.reference);
  if (matchesEntityTag(req.headers['if-none-match'], manifest.digest))
    return { status: 304, headers: describe(manifest), provenance: manifest.provenance };
  const headers = { ...describe(manifest), 'Content-Length': String(manifest.size) };
  return { status: 200, headers, provenance: manifest.provenance };
};

/** Sends a manifest, byte for byte as pushed (end-3). */
export const getManifest: Handler<RegistryParams<'manifest.get'>> = async ({ req, params, caller, target, pull }) => {
  const { at, repository } = target;
  const manifest = await (pull === undefined
    ? repository.getManifest(caller, at.image, params.reference)
    : pull(caller, { at, repository, counts: true }, params.reference));
  if (manifest === undefined) throw manifestUnknown(params.reference);
  if (matchesEntityTag(req.headers['if-none-match'], manifest.digest))
    return { status: 304, headers: describe(manifest), provenance: manifest.provenance };
  const { digest, mediaType, size, bytes, provenance } = manifest;
  const tag = 'tag' in params.reference ? params.reference.tag : undefined;
  const pulled = { at: target.at, digest, mediaType, size, tag, by: caller.actor };
  return { status: 200, headers: describe(manifest), body: bytes, provenance, pulled };
};

/** Stores a manifest and its tags (end-7a, end-7b). */
export const putManifest: Handler<RegistryParams<'manifest.put'>> = async ({
  req,
  prefix,
  params,
  query,
  caller,
  target,
  body,
}) => {
  const writer = writerOf(target);
  const byDigest = 'digest' in params.reference;
  const tagParams = parseTagParams(query.getAll('tag'), byDigest);
  const condition = parseCondition(req.headers);
  const bytes = await body.read(maxManifestBytes, manifestTooLarge);
  const expected = 'digest' in params.reference ? params.reference.digest : undefined;
  const manifest = parseManifest(bytes, req.headers['content-type'], expected);
  const tags = 'tag' in params.reference ? [params.reference.tag] : tagParams;
  await writer.putManifest(caller, target.at.image, manifest, tags, { condition });
  return {
    status: 201,
    headers: {
      Location: prefix + locations.manifest(target.name, { digest: manifest.digest }),
      'Docker-Content-Digest': manifest.digest,
      ...(manifest.subject === undefined ? {} : { 'OCI-Subject': manifest.subject }),
      ...(tagParams.length === 0 ? {} : { 'OCI-Tag': tagParams.join(', ') }),
    },
  };
};

/** Deletes a tag or a manifest (end-9). */
export const deleteManifest: Handler<RegistryParams<'manifest.delete'>> = async ({ req, caller, params, target }) => {
  const writer = writerOf(target);
  const { image } = target.at;
  const { reference } = params;
  const condition = parseCondition(req.headers);
  const deleted =
    'tag' in reference
      ? await writer.deleteTag(caller, image, reference.tag, { condition })
      : await writer.deleteManifest(caller, image, reference.digest, { condition });
  if (deleted) return { status: 202 };
  throw manifestUnknown(reference);
};

/** Lists tags in byte order (end-8a, end-8b). */
export const listTags: Handler<RegistryParams<'tag.list'>> = async (exchange) => {
  const { caller, target, path, query, turn } = exchange;
  const page = pageOf(exchange, maxTagPageSize);
  const tags = await target.repository.listTags(caller, target.at.image, page);
  if (tags === undefined) throw new RegistryError('NAME_UNKNOWN', { message: 'image not known to this registry' });
  await turn(tags.items.length * bytesPerItem);
  const names = tags.items.map(({ name }) => name);
  const more = tags.more && page.limit > 0;
  const headers = more ? nextLink(path, query, names.at(-1) ?? '', page.limit) : {};
  return { ...jsonReply(200, { name: target.name, tags: names }, headers), provenance: tags.provenance };
};

/** Lists the referrers of a digest as an index of descriptors (end-12a, end-12b). Empty rather than 404 if there are none. */
export const listReferrers: Handler<RegistryParams<'referrer.list'>> = async (exchange) => {
  const { caller, target, params, path, query, turn } = exchange;
  const page = pageOf(exchange, maxReferrerPageSize);
  // Media types contain no spaces: a space here is a "+" that the client did not encode.
  const artifactTypes = new Set(query.getAll('artifactType').map((type) => type.replaceAll(' ', '+')));
  const { items, more, provenance } = await target.repository.listReferrers(caller, target.at.image, params.digest, {
    ...page,
    maxBytes: maxReferrerPageBytes,
  });
  await turn(items.reduce((sum, { annotations }) => sum + 400 + measureAnnotations(annotations), 0));
  const cut = more && page.limit > 0;
  const manifests = items.filter(
    ({ artifactType }) => artifactTypes.size === 0 || artifactTypes.has(artifactType ?? ''),
  );
  const headers = {
    'Content-Type': ociIndexType,
    ...(artifactTypes.size === 0 ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
    ...(cut ? nextLink(path, query, items.at(-1)?.digest ?? '', page.limit) : {}),
  };
  return { ...jsonReply(200, { schemaVersion: 2, mediaType: ociIndexType, manifests }, headers), provenance };
};

function parseTagParams(texts: readonly string[], byDigest: boolean): readonly Tag[] {
  if (texts.length === 0) return [];
  if (!byDigest) {
    throw new RegistryError('TAG_INVALID', {
      message: 'tag parameters require a push by digest: the URL already names a tag',
    });
  }
  if (texts.length > maxTags) {
    throw new RegistryError('TAG_INVALID', {
      status: 414,
      message: `too many tag parameters: at most ${maxTags} are allowed`,
    });
  }
  return [...new Set(texts)].map(parseTag);
}

function describe({ digest, mediaType }: ManifestInfo): Record<string, string> {
  return {
    'Content-Type': safeContentType(mediaType, manifestTypes),
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
  };
}

function manifestUnknown(reference: Reference): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', { detail: { reference: formatReference(reference) } });
}

function manifestTooLarge(): RegistryError {
  return new RegistryError('MANIFEST_INVALID', {
    status: 413,
    message: `manifest too large: at most ${maxManifestBytes} bytes are allowed`,
    detail: { maxBytes: maxManifestBytes },
  });
}
