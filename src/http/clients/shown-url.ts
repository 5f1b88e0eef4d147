/** Query parameters of the supported protocols, whose values are never secret. People search (`q`) for secrets too. */
const shownParameters: ReadonlySet<string> = new Set([
  'account',
  'after',
  'anonymous',
  'artifactType',
  'before',
  'by',
  'client_id',
  'digest',
  'digest-algorithm',
  'dry_run',
  'from',
  'grant_type',
  'groups',
  'host',
  'image',
  'kind',
  'last',
  'mount',
  'n',
  'name',
  'ns',
  'offline_token',
  'permission',
  'reference',
  'repository',
  'scope',
  'service',
  'sort',
  'tag',
  'types',
  'unique',
  'untagged',
  'user',
]);

const maxShownChars = 2048;

/** A short path without a query, an authority or a token. */
const plainPath = /^\/(?!\/)(?!.*aat_)[^?#]{0,255}$/s;

/**
 * Returns a request's URL for logs and events, at most 2048 characters. It keeps the values of query parameters that are
 * never secret, and only the names of others (`?sig=…`). It removes the authority of an absolute URL, which may contain a
 * password, and masks account tokens.
 */
export function shownUrl(url: string): string {
  // Most URLs have nothing to hide, and this code runs for every request.
  if (plainPath.test(url)) return url;
  const short = maskTokens(url.length > maxShownChars ? `${url.slice(0, maxShownChars - 1)}…` : url);
  const [beforeFragment = ''] = short.split('#', 1);
  const questionMark = beforeFragment.indexOf('?');
  if (questionMark < 0) return withoutAuthority(beforeFragment);
  const parameters = beforeFragment.slice(questionMark + 1).split('&');
  return `${withoutAuthority(beforeFragment.slice(0, questionMark))}?${parameters.map(showParameter).join('&')}`;
}

/** Masks the secret part of account tokens, which users sometimes send where only the id belongs. */
export function maskTokens(text: string): string {
  return text.includes('aat_') ? text.replace(/(aat_[a-f0-9]{16}_)[A-Za-z0-9_-]+/g, '$1…') : text;
}

/** Removes the authority of `http://user:secret@host/v2/` and similar forms. */
function withoutAuthority(place: string): string {
  if (place.startsWith('/')) return place.replace(/^\/\/[^/]*@/, '//');
  return place.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '').replace(/^[^/]*@/, '');
}

function showParameter(parameter: string): string {
  const equals = parameter.indexOf('=');
  const name = equals < 0 ? parameter : parameter.slice(0, equals);
  if (shownParameters.has(name)) return parameter;
  // Without a value, the name itself may be secret.
  if (equals < 0) return parameter === '' ? '' : '…';
  return `${name}=…`;
}
