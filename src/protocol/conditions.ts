import { RegistryError } from './errors.js';

/** The preconditions of a write, `If-Match` and `If-None-Match` (RFC 9110, 13.1). Entity tags are digests, or versions of settings. */
export interface Condition {
  readonly match?: EntityTags;
  readonly noneMatch?: EntityTags;
}

/** `*`, or the listed tags. */
type EntityTags = '*' | readonly EntityTag[];

interface EntityTag {
  readonly text: string;
  readonly isWeak: boolean;
}

const tagPattern = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/;
/** Splits at commas that are not inside quotes. */
const listPattern = /(?:"[^"]*"|[^",])+|"/g;
/** More entity tags are refused. */
const maxTags = 100;

/** The request headers that hold a condition. */
export interface ConditionHeaders {
  readonly 'if-match'?: string | undefined;
  readonly 'if-none-match'?: string | undefined;
}

/**
 * Parses the condition of a write. Returns `undefined` without one.
 * @throws RegistryError HEADER_INVALID 400 for a malformed header: ignoring it would lose the protection.
 */
export function parseCondition(headers: ConditionHeaders): Condition | undefined {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  if (match === undefined && noneMatch === undefined) return undefined;
  return {
    ...(match === undefined ? {} : { match: parseEntityTags('If-Match', match) }),
    ...(noneMatch === undefined ? {} : { noneMatch: parseEntityTags('If-None-Match', noneMatch) }),
  };
}

/** Returns whether the condition holds for content with this entity tag; `undefined` if there is none. */
export function isMet({ match, noneMatch }: Condition, present: string | undefined): boolean {
  // A weak tag never matches in If-Match, which requires identical bytes (RFC 9110, 13.1.1).
  const isMatched = match === undefined || includes(match, present, ({ isWeak }) => !isWeak);
  return isMatched && (noneMatch === undefined || !includes(noneMatch, present, () => true));
}

function includes(tags: EntityTags, present: string | undefined, counts: (tag: EntityTag) => boolean): boolean {
  if (present === undefined) return false;
  return tags === '*' || tags.some((tag) => tag.text === present && counts(tag));
}

function parseEntityTags(name: string, header: string): EntityTags {
  if (header.trim() === '*') return '*';
  const items = (header.match(listPattern) ?? []).map((item) => item.trim()).filter((item) => item !== '');
  const tags = items.map((item): EntityTag | undefined => {
    const [, weak, text] = tagPattern.exec(item) ?? [];
    return text === undefined ? undefined : { text, isWeak: weak !== undefined };
  });
  const known = tags.filter((tag) => tag !== undefined);
  if (known.length === tags.length && tags.length > 0 && tags.length <= maxTags) return known;
  throw new RegistryError('HEADER_INVALID', {
    message: `invalid ${name}: expected * or up to ${maxTags} entity tags in double quotes, separated by commas`,
    detail: { header: name, value: header.slice(0, 200) },
  });
}
