import type { ManifestInfo } from '../../ports/images.js';
import { locations, type RegistryParams } from '../../protocol/tables/endpoints.js';
import { RegistryError } from '../../protocol/errors.js';
import { matchesEntityTag } from '../../protocol/headers.js';
import { maxManifestBytes, manifestTypes, ociIndexType, parseManifest } from '../../protocol/manifest.js';
import { formatReference, parseTag, type Reference, type Tag } from '../../protocol/names.js';
import { safeContentType } from '../answer-headers.js';
import type { Handler } from '../exchange.js';
import { jsonReply } from '../reply.js';
import { writerOf } from '../writer.js';
import { nextLink, pageOf } from './discovery.js';

/** More `tag` parameters than this are refused by 414; the spec asks for 10 at least (end-7b). */
const maxTags = 100;
const maxTagPageSize = 10_000;
const maxReferrerPageSize = 1000;
/** Clients cap an index at 4 MiB: a page of referrers stays below, whatever annotations they carry. */
const maxReferrerPageBytes = 3 * 1024 * 1024;

/** end-3, HEAD. Accept is ignored: what was pushed is what is served. */
export const statManifest: Handler<RegistryParams<'manifest.stat'>> = async ({ req, params, caller, target }) => {
  const manifest = await target.repository.statManifest(caller, target.at.image, params.reference);
  if (manifest === undefined) throw manifestUnknown(params.reference);
  if (matchesEntityTag(req.headers['if-none-match'], manifest.digest))
    return { status: 304, headers: describe(manifest), provenance: manifest.provenance };
  const headers = { ...describe(manifest), 'Content-Length': String(manifest.size) };
  return { status: 200, headers, provenance: manifest.provenance };
};

/** end-3, GET: the bytes as they were pushed. */
export const getManifest: Handler<RegistryParams<'manifest.get'>> = async ({ req, params, caller, target }) => {
  const manifest = await target.repository.getManifest(caller, target.at.image, params.reference);
  if (manifest === undefined) throw manifestUnknown(params.reference);
  if (matchesEntityTag(req.headers['if-none-match'], manifest.digest))
    return { status: 304, headers: describe(manifest), provenance: manifest.provenance };
  return { status: 200, headers: describe(manifest), body: manifest.bytes, provenance: manifest.provenance };
};

/** end-7a and 7b. */
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
  const bytes = await body.read(maxManifestBytes, manifestTooLarge);
  const expected = 'digest' in params.reference ? params.reference.digest : undefined;
  const manifest = parseManifest(bytes, req.headers['content-type'], expected);
  const tags = 'tag' in params.reference ? [params.reference.tag] : tagParams;
  await writer.putManifest(target.at.image, manifest, tags, { caller });
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

/** end-9. */
export const deleteManifest: Handler<RegistryParams<'manifest.delete'>> = async ({ params, target }) => {
  const writer = writerOf(target);
  const { image } = target.at;
  const { reference } = params;
  const deleted =
    'tag' in reference
      ? await writer.deleteTag(image, reference.tag)
      : await writer.deleteManifest(image, reference.digest);
  if (deleted) return { status: 202 };
  throw manifestUnknown(reference);
};

/** end-8a and 8b: in byte order. */
export const listTags: Handler<RegistryParams<'tag.list'>> = async (exchange) => {
  const { caller, target, path, query } = exchange;
  const page = pageOf(exchange, maxTagPageSize);
  const tags = await target.repository.listTags(caller, target.at.image, page);
  if (tags === undefined)
    throw new RegistryError('NAME_UNKNOWN', { message: 'the image is not known to this registry' });
  const names = tags.items.map(({ name }) => name);
  const more = tags.more && page.limit > 0;
  const headers = more ? nextLink(path, query, names.at(-1) ?? '', page.limit) : {};
  return { ...jsonReply(200, { name: target.name, tags: names }, headers), provenance: tags.provenance };
};

/** end-12a and 12b: an index of descriptors, empty when nothing refers to the digest; never 404 (design: any image). */
export const listReferrers: Handler<RegistryParams<'referrer.list'>> = async (exchange) => {
  const { caller, target, params, path, query } = exchange;
  const page = pageOf(exchange, maxReferrerPageSize);
  // A media type holds no space: one here is a "+" that the client did not encode.
  const wanted = new Set(query.getAll('artifactType').map((type) => type.replaceAll(' ', '+')));
  const { items, more, provenance } = await target.repository.listReferrers(caller, target.at.image, params.digest, {
    ...page,
    maxBytes: maxReferrerPageBytes,
  });
  const cut = more && page.limit > 0;
  const manifests = items.filter(({ artifactType }) => wanted.size === 0 || wanted.has(artifactType ?? ''));
  const headers = {
    'Content-Type': ociIndexType,
    ...(wanted.size === 0 ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
    ...(cut ? nextLink(path, query, items.at(-1)?.digest ?? '', page.limit) : {}),
  };
  return { ...jsonReply(200, { schemaVersion: 2, mediaType: ociIndexType, manifests }, headers), provenance };
};

function parseTagParams(texts: readonly string[], byDigest: boolean): readonly Tag[] {
  if (texts.length === 0) return [];
  if (!byDigest) {
    throw new RegistryError('TAG_INVALID', {
      message: 'tag parameters go with a push by digest: this URL names a tag already',
    });
  }
  if (texts.length > maxTags) {
    throw new RegistryError('TAG_INVALID', { status: 414, message: `at most ${maxTags} tags in one request` });
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
    message: `a manifest has at most ${maxManifestBytes} bytes`,
    detail: { maxBytes: maxManifestBytes },
  });
}
