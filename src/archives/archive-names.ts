import { archiveInvalid } from '../protocol/manifests/archive.js';

/** Matches a first part of a name that docker takes for a host: it has a dot or a port, or is `localhost`. */
const hostPattern = /^(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[\da-f:]+\]|[\w-]+(?=:))(?::\d+)?$/i;

/** The name of an image in an archive, as far as it has one. Neither part has been checked. */
export interface ArchiveName {
  readonly image?: string;
  readonly tag?: string;
}

/**
 * Splits a name that a tool has written into an archive. Strips the host of a registry, Docker Hub's `library/`, and the name
 * of this repository, which our exports add. A tag alone, which OCI layouts allow, names no image.
 * @throws RegistryError ARCHIVE_INVALID for a name that is too long.
 */
export function splitArchiveName(text: string, repository: string): ArchiveName {
  if (text.length > 1024) throw archiveInvalid('a name in the archive is too long');
  const [name = ''] = text.split('@', 1);
  // A name without `/` and `:` is a tag, not an image: the example of image-spec is `v1.0`.
  if (!/[/:]/.test(name)) return name === '' ? {} : { tag: name };
  const colon = name.indexOf(':', name.lastIndexOf('/') + 1);
  if (colon < 0) return { image: stripFront(name, repository) };
  return { image: stripFront(name.slice(0, colon), repository), tag: name.slice(colon + 1) };
}

function stripFront(path: string, repository: string): string {
  const parts = path.split('/');
  const [first = ''] = parts;
  if (parts.length > 1 && hostPattern.test(first)) parts.shift();
  if (parts.length === 2 && parts[0] === 'library') parts.shift();
  if (parts.length > 1 && parts[0] === repository) parts.shift();
  return parts.join('/');
}
