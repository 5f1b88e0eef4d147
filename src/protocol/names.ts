import { RegistryError } from './errors.js';
import { parseDigest, type Digest } from './digest.js';

declare const wireNameBrand: unique symbol;
declare const tagBrand: unique symbol;
declare const sessionBrand: unique symbol;

/** `<name>` in a URL: the repository, or repository + "/" + image, in the grammar of the specification. */
export type WireName = string & { readonly [wireNameBrand]: true };
/** A tag in the grammar of the specification. Case-sensitive. */
export type Tag = string & { readonly [tagBrand]: true };
/** The id of an upload session: a UUID. */
export type SessionId = string & { readonly [sessionBrand]: true };
/** A tag or a digest. Tags contain no ":", so any text with one is a digest or invalid. */
export type Reference = { readonly tag: Tag } | { readonly digest: Digest };

/** Many clients limit host + "/" + name to 255 characters. The registry does not know their host, so it limits the name. */
export const maxNameLength = 255;
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
/** The grammar of repository names, without their length. */
export const repositoryNamePattern = new RegExp(`^${component}$`);
/** The grammar of names, without their length. */
export const namePattern = new RegExp(`^${component}(?:/${component})*$`);
/** The grammar of tags. */
export const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** The grammar of session ids. */
export const sessionPattern = /^[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$/;

/** Parses a name. Checks the length first, so the pattern never sees an unbounded text. @throws RegistryError NAME_INVALID. */
export function parseName(text: string): WireName {
  if (text.length <= maxNameLength && namePattern.test(text)) return text as WireName;
  throw new RegistryError('NAME_INVALID', {
    message: `invalid name: use at most ${maxNameLength} characters, lower-case letters and digits, separated by ".", "_", "__", "-" or "/"`,
    detail: { name: text.slice(0, maxNameLength) },
  });
}

/** Parses a name. Returns `undefined` if it is invalid. */
export function tryParseName(text: string): WireName | undefined {
  return text.length <= maxNameLength && namePattern.test(text) ? (text as WireName) : undefined;
}

/** Parses the name of a configured repository: one path component. @throws RegistryError NAME_INVALID. */
export function parseRepositoryName(text: string): string {
  if (isRepositoryName(text)) return text;
  throw new RegistryError('NAME_INVALID', {
    message:
      'invalid repository name: use at most 128 lower-case letters and digits, separated by ".", "_", "__" or "-"',
    detail: { name: text.slice(0, maxNameLength) },
  });
}

/** Returns whether the text is a valid name of a configured repository. */
export function isRepositoryName(text: string): boolean {
  return text.length <= 128 && repositoryNamePattern.test(text);
}

/** Returns whether the text is a valid tag. */
export function isTag(text: string): text is Tag {
  return text.length <= 128 && tagPattern.test(text);
}

/** Parses a tag. @throws RegistryError TAG_INVALID. */
export function parseTag(text: string): Tag {
  if (isTag(text)) return text;
  throw new RegistryError('TAG_INVALID', { detail: { tag: text.slice(0, 200) } });
}

/** Parses a tag or digest. @throws RegistryError DIGEST_INVALID if the text contains ":", else TAG_INVALID. */
export function parseReference(text: string): Reference {
  return text.includes(':') ? { digest: parseDigest(text) } : { tag: parseTag(text) };
}

/** Returns the text of a tag or digest. */
export function formatReference(reference: Reference): string {
  return 'tag' in reference ? reference.tag : reference.digest;
}

/** Parses the id of an upload session. @throws RegistryError BLOB_UPLOAD_UNKNOWN: no session has a malformed id. */
export function parseSessionId(text: string): SessionId {
  if (text.length === 36 && sessionPattern.test(text)) return text as SessionId;
  throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
}
