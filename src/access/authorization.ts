/** What an `Authorization` header says. */
export type Credentials =
  | { readonly scheme: 'none' }
  | { readonly scheme: 'basic'; readonly username: string; readonly password: string }
  | { readonly scheme: 'bearer'; readonly token: string }
  | { readonly scheme: 'unusable' };

const maxHeaderLength = 32 * 1024;

/** Schemes in any case (RFC 9110, 11.1); what cannot be read is `unusable`, never nobody. */
export function parseAuthorization(header: string | undefined): Credentials {
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

/** UTF-8 (RFC 7617, 2.1). Node passes over what is no base64: such a header is refused instead. */
function decodeBase64(value: string): string | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(value)) return undefined;
  return Buffer.from(value, 'base64').toString('utf8');
}
