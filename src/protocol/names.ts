import { RegistryError } from './errors.js';
import { parseDigest, type Digest } from './digest.js';

declare const wireNameBrand: unique symbol;
declare const tagBrand: unique symbol;
declare const sessionBrand: unique symbol;

/** `<name>` as it is on the wire: repository + "/" + image (or the repository alone), checked against the spec's grammar. */
export type WireName = string & { readonly [wireNameBrand]: true };
/** A tag by the spec's grammar; case-sensitive. */
export type Tag = string & { readonly [tagBrand]: true };
/** The id of an upload session: a UUID that we made. */
export type SessionId = string & { readonly [sessionBrand]: true };
/** What `<tag-or-digest>` names: a string with ":" is a digest or nothing, since no tag holds one. */
export type Reference = { readonly tag: Tag } | { readonly digest: Digest };

/** Many clients cap host + "/" + name at 255; the host is theirs, so the name alone is what we can hold them to. */
export const maxNameLength = 255;
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
/** The grammar of names, tags and session ids, but for lengths: the parsers below decide. */
export const repositoryNamePattern = new RegExp(`^${component}$`);
export const namePattern = new RegExp(`^${component}(?:/${component})*$`);
export const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
export const sessionPattern = /^[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$/;

/** @throws RegistryError NAME_INVALID. Lengths are checked before patterns: a pattern never sees an unbounded string. */
export function parseName(text: string): WireName {
  if (text.length <= maxNameLength && namePattern.test(text)) return text as WireName;
  throw new RegistryError('NAME_INVALID', {
    message: `a name has at most ${maxNameLength} characters: lower-case letters and digits, parted by one of . _ __ - and /`,
    detail: { name: text.slice(0, maxNameLength) },
  });
}

/** `undefined` for what is no name. */
export function tryParseName(text: string): WireName | undefined {
  return text.length <= maxNameLength && namePattern.test(text) ? (text as WireName) : undefined;
}

/** The name of a configured repository: one path component. @throws RegistryError NAME_INVALID. */
export function parseRepositoryName(text: string): string {
  if (isRepositoryName(text)) return text;
  throw new RegistryError('NAME_INVALID', {
    message:
      'a repository has a name of one part: at most 128 lower-case letters and digits, parted by one of . _ __ -',
    detail: { name: text.slice(0, maxNameLength) },
  });
}

export function isRepositoryName(text: string): boolean {
  return text.length <= 128 && repositoryNamePattern.test(text);
}

export function isTag(text: string): text is Tag {
  return text.length <= 128 && tagPattern.test(text);
}

/** @throws RegistryError TAG_INVALID. */
export function parseTag(text: string): Tag {
  if (isTag(text)) return text;
  throw new RegistryError('TAG_INVALID', { detail: { tag: text.slice(0, 200) } });
}

/** @throws RegistryError DIGEST_INVALID for what holds a ":", TAG_INVALID for the rest. */
export function parseReference(text: string): Reference {
  return text.includes(':') ? { digest: parseDigest(text) } : { tag: parseTag(text) };
}

export function formatReference(reference: Reference): string {
  return 'tag' in reference ? reference.tag : reference.digest;
}

/** @throws RegistryError BLOB_UPLOAD_UNKNOWN: an id that we did not make is an upload that we do not know. */
export function parseSessionId(text: string): SessionId {
  if (text.length === 36 && sessionPattern.test(text)) return text as SessionId;
  throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
}
