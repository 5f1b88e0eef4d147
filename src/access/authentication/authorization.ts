/** The parsed form of an `Authorization` header. */
export type ParsedAuthorization =
  | { readonly scheme: 'none' }
  | { readonly scheme: 'basic'; readonly username: string; readonly password: string }
  | { readonly scheme: 'bearer'; readonly token: string }
  | { readonly scheme: 'unusable' };

const maxHeaderLength = 32 * 1024;

/**
 * Parses an `Authorization` header. The scheme is case-insensitive (RFC 9110, 11.1). A header that cannot be parsed is
 * `unusable`; it never counts as anonymous.
 */
export function parseAuthorization(header: string | undefined): ParsedAuthorization {
  if (header === undefined) return { scheme: 'none' };
  if (header.length > maxHeaderLength) return { scheme: 'unusable' };
  const [, scheme = '', value = ''] = /^([A-Za-z]+) +([^\s]+)\s*$/.exec(header) ?? [];
  if (scheme.toLowerCase() === 'bearer') return { scheme: 'bearer', token: value };
  if (scheme.toLowerCase() !== 'basic') return { scheme: 'unusable' };
  const text = decodeBase64(value);
  const colon = text?.indexOf(':') ?? -1;
  if (text === undefined || colon < 0) return { scheme: 'unusable' };
  return { scheme: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Decodes base64 as UTF-8 (RFC 7617, 2.1). Node skips characters that are not base64; this returns `undefined` instead. */
function decodeBase64(value: string): string | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(value)) return undefined;
  return Buffer.from(value, 'base64').toString('utf8');
}
