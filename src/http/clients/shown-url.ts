/** What may be seen of a query: what the protocols that we speak ask for, none of it a secret. */
const shownParameters: ReadonlySet<string> = new Set([
  'account',
  'artifactType',
  'client_id',
  'digest',
  'digest-algorithm',
  'dry_run',
  'from',
  'grant_type',
  'host',
  'image',
  'last',
  'mount',
  'n',
  'name',
  'ns',
  'offline_token',
  'reference',
  'repository',
  'scope',
  'service',
  'tag',
]);

const maxShown = 2048;

/**
 * A request's URL as it may stand in logs and events: the path, and of the query the values of parameters that are known to
 * be no secrets; of others the name (`?sig=…`). The authority of an absolute form, where a password may be, is left out, and
 * tokens of accounts. At most 2048 characters.
 */
export function shownUrl(url: string): string {
  const short = maskTokens(url.length > maxShown ? `${url.slice(0, maxShown - 1)}…` : url);
  const [beforeFragment = ''] = short.split('#', 1);
  const questionMark = beforeFragment.indexOf('?');
  if (questionMark < 0) return withoutAuthority(beforeFragment);
  const parameters = beforeFragment.slice(questionMark + 1).split('&');
  return `${withoutAuthority(beforeFragment.slice(0, questionMark))}?${parameters.map(showParameter).join('&')}`;
}

/** Of an account's token only the id, wherever it is: somebody gives the whole where the id belongs. */
function maskTokens(url: string): string {
  return url.replace(/(aat_[a-f0-9]{16}_)[A-Za-z0-9_-]+/g, '$1…');
}

/** `http://user:secret@host/v2/`, and whatever else has a part like it. */
function withoutAuthority(place: string): string {
  if (place.startsWith('/')) return place.replace(/^\/\/[^/]*@/, '//');
  return place.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '').replace(/^[^/]*@/, '');
}

function showParameter(parameter: string): string {
  const equals = parameter.indexOf('=');
  const name = equals < 0 ? parameter : parameter.slice(0, equals);
  if (shownParameters.has(name)) return parameter;
  // Without a value, the name itself may be a secret.
  if (equals < 0) return parameter === '' ? '' : '…';
  return `${name}=…`;
}
