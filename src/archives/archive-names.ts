import { archiveInvalid } from '../protocol/archive.js';
import { parseName, parseTag, type Tag } from '../protocol/names.js';

/** As docker tells a host from the first part of a name: by a dot, a port, or by being `localhost`. */
const hostPattern = /^(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[\da-f:]+\]|[\w-]+(?=:))(?::\d+)?$/i;

/** What an archive calls an image, as far as it does. */
export interface ArchiveName {
  readonly image?: string;
  readonly tag?: Tag;
}

/**
 * Reads a name as tools write it, as an image of this repository: without the registry's host, Docker Hub's `library/`, and
 * the repository's own name, which an export has in front. A tag alone, as an OCI layout may have it, names no image.
 * @throws RegistryError ARCHIVE_INVALID; NAME_INVALID and TAG_INVALID for what cannot be one here.
 */
export function readArchiveName(text: string, repository: string): ArchiveName {
  if (text.length > 1024) throw archiveInvalid('a name in the archive is too long');
  const [name = ''] = text.split('@', 1);
  // `1.2` alone is a tag, not the image of that name: image-spec gives `v1.0` as the example.
  if (!/[/:]/.test(name)) return name === '' ? {} : { tag: parseTag(name) };
  const colon = name.indexOf(':', name.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : parseTag(name.slice(colon + 1));
  const path = stripFront(colon < 0 ? name : name.slice(0, colon), repository);
  parseName(`${repository}/${path}`);
  return { image: path, ...(tag === undefined ? {} : { tag }) };
}

function stripFront(path: string, repository: string): string {
  const parts = path.split('/');
  const [first = ''] = parts;
  if (parts.length > 1 && hostPattern.test(first)) parts.shift();
  if (parts.length === 2 && parts[0] === 'library') parts.shift();
  if (parts.length > 1 && parts[0] === repository) parts.shift();
  return parts.join('/');
}
