import type { Writable } from 'node:stream';
import type {
  Archives,
  Counted,
  ExportName,
  ExportRequest,
  ImportedImage,
  ImportReport,
  ImportRequest,
} from '../../../ports/archives.js';
import type { Repository } from '../../../ports/repository.js';
import type { CountedDocument, ImportDocument } from '../../../protocol/documents/archives.js';
import { RegistryError } from '../../../protocol/errors.js';
import type { ManagementParams } from '../../../protocol/tables/management.js';
import { formatReference, parseName, parseReference, parseTag } from '../../../protocol/names.js';
import { openArchiveBody } from '../../bodies/archive-body.js';
import type { Exchange } from '../../exchange.js';
import type { BoundedTasks } from '../../limits/bounded-tasks.js';
import { jsonReply, type Reply } from '../../reply.js';

const maxNames = 100;
const maxTags = 100;
const aliasPattern = /^[A-Za-z0-9._:/-]{1,512}$/;
const platformPattern = /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/;

/** Imports a tar archive from the body or from the file of a form, whose fields add to the query parameters. */
export async function receiveArchive(
  repository: Repository,
  archives: Archives,
  exchange: Exchange<ManagementParams<'archive.import'>>,
): Promise<Reply> {
  const { req, caller, query } = exchange;
  const permit: ImportRequest['permit'] = (at) => exchange.require('push', at);
  const body = await openArchiveBody(req);
  try {
    refuseUnknownFields(body.fields);
    const destination = readDestination([...query, ...body.fields]);
    // If the image is known already, check the permission before reading the archive.
    if (destination.image !== undefined) await permit({ repository: repository.config.name, image: destination.image });
    const report = await archives.import(repository, body.source, { ...destination, caller, permit });
    await body.finish();
    return jsonReply(201, encodeReport(repository.config.name, report));
  } catch (error) {
    body.abandon();
    throw error;
  }
}

/** Exports images as a tar archive. Its size is known before the first byte. */
export async function sendArchive(
  repository: Repository,
  archives: Archives,
  exchange: Exchange<ManagementParams<'archive.export'>>,
  exports: BoundedTasks,
): Promise<Reply> {
  const { caller, query } = exchange;
  const { address } = exchange.client;
  const names = readNames(query).map((name) => ({ ...name, image: repository.canonicalImage(name.image) }));
  for (const { image } of names) await exchange.require('pull', { repository: repository.config.name, image });
  const request = { caller, names, platform: readPlatform(query), pull: pullOf(repository, exchange) };
  const archive = await exports.run(address, () => archives.export(repository, request));
  const content = {
    size: archive.size,
    writeTo: (sink: Writable) => exports.run(address, () => archive.writeTo(sink)),
  };
  return {
    status: 200,
    headers: {
      'Content-Type': 'application/x-tar',
      'Content-Disposition': `attachment; filename="${fileNameOf(repository, names)}"`,
    },
    body: { content, length: content.size },
  };
}

/** An export is a pull, so the hook for pulls decides about its manifests too. */
function pullOf(repository: Repository, { caller, pull }: Exchange<unknown>): ExportRequest['pull'] {
  if (pull === undefined) return undefined;
  return (image, reference) => {
    const at = { repository: repository.config.name, image };
    return pull(caller, { at, repository, counts: true }, reference);
  };
}

/**
 * Refuses unknown form fields: a misspelt `tag` must not import under other names.
 * @throws RegistryError OPTIONS_INVALID
 */
function refuseUnknownFields(fields: readonly (readonly [string, string])[]): void {
  const unknown = new Set(fields.map(([name]) => name).filter((name) => name !== 'image' && name !== 'tag'));
  const [first] = unknown;
  if (first === undefined) return;
  throw new RegistryError('OPTIONS_INVALID', {
    message: `unknown form field "${first.slice(0, 100)}": archive.import takes image, tag and one file`,
    detail: [...unknown].slice(0, 10).map((name) => ({ path: name.slice(0, 100), problem: 'is unknown' })),
  });
}

function readDestination(fields: readonly (readonly [string, string])[]): Pick<ImportRequest, 'image' | 'tags'> {
  const images = fields.filter(([name]) => name === 'image').map(([, value]) => parseName(value));
  const tags = fields.filter(([name]) => name === 'tag').map(([, value]) => parseTag(value));
  if (tags.length > maxTags) throw optionInvalid('tag', `may be given at most ${maxTags} times`);
  if (new Set(images).size > 1) throw optionInvalid('image', 'may be given only once');
  return { image: images[0], tags: [...new Set(tags)] };
}

/** Reads the images to export: each `name=team/app:1.2`, and each `image` with each `reference`. */
function readNames(query: URLSearchParams): readonly ExportName[] {
  const [plain, images] = [query.getAll('name'), query.getAll('image')];
  const references = query.has('reference') ? query.getAll('reference') : ['latest'];
  // Checked before combining: a few kilobytes of each would yield millions of names.
  if (plain.length + images.length * references.length > maxNames) {
    throw optionInvalid('name', `may be given at most ${maxNames} times`);
  }
  const names = [
    ...plain.map(readName),
    ...images.flatMap((image) => {
      return references.map((reference) => ({ image: parseName(image), reference: parseReference(reference) }));
    }),
  ];
  const as = query.get('as') ?? undefined;
  const [first] = names;
  if (first === undefined) throw optionInvalid('name', 'is required: pass name=team/app:1.2 for each image');
  if (as === undefined) return names;
  if (names.length > 1) throw optionInvalid('as', 'requires exactly one image');
  if (!aliasPattern.test(as)) throw optionInvalid('as', 'is not a valid image name');
  return [{ ...first, as: as.includes(':', as.lastIndexOf('/') + 1) ? as : `${as}:latest` }];
}

function readName(text: string): ExportName {
  const at = text.indexOf('@');
  const colon = at < 0 ? text.indexOf(':') : at;
  if (colon < 0) return { image: parseName(text), reference: { tag: parseTag('latest') } };
  return { image: parseName(text.slice(0, colon)), reference: parseReference(text.slice(colon + 1)) };
}

function readPlatform(query: URLSearchParams): string | undefined {
  const platform = query.get('platform') ?? undefined;
  if (platform === undefined || platformPattern.test(platform)) return platform;
  throw optionInvalid(
    'platform',
    'must be os/architecture or os/architecture/variant, such as linux/arm64 or linux/arm/v7',
  );
}

function fileNameOf(repository: Repository, names: readonly ExportName[]): string {
  const [first, ...others] = names;
  if (first === undefined || others.length > 0) return `${repository.config.name}.tar`;
  return `${first.image.replaceAll('/', '-')}-${formatReference(first.reference).replace(':', '-')}.tar`;
}

function encodeReport(repository: string, { images, manifests, blobs }: ImportReport): ImportDocument {
  return {
    images: images.map((image) => encodeImage(repository, image)),
    manifests: encodeCounted(manifests),
    blobs: encodeCounted(blobs),
  };
}

function encodeImage(
  repository: string,
  { image, tags, digest, mediaType, platforms, bytes }: ImportedImage,
): ImportDocument['images'][number] {
  return {
    name: `${repository}/${image}`,
    image,
    tags,
    digest,
    media_type: mediaType,
    platforms,
    size_bytes: bytes,
  };
}

function encodeCounted({ total, bytes, presentTotal, presentBytes }: Counted): CountedDocument {
  return { total, bytes, already_present: presentTotal, already_present_bytes: presentBytes };
}

function optionInvalid(path: string, problem: string): RegistryError {
  return new RegistryError('OPTIONS_INVALID', { message: `${path} ${problem}`, detail: [{ path, problem }] });
}
