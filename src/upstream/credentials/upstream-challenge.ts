/** The authentication that an upstream asks for. */
export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: string;
      readonly service: string | undefined;
      /** Absent when it is empty. */
      readonly scope: string | undefined;
    };

const maxChallengeLength = 16 * 1024;
/**
 * Matches one element of a header: `name=value` with a token or a quoted string, a word that begins a challenge, or the bare
 * token of a scheme such as Negotiate, which is skipped (RFC 9110, 11.6.1). Commas separate both challenges and parameters, so
 * only the next "=" distinguishes them.
 */
const stepPattern =
  /[\s,]*(?:([!#$%&'*+.^_`|~\w-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)(?=[\s,]|$))|([!#$%&'*+.^_`|~\w-]+)(?=[\s,]|$)|[\w.~+/-]+=*(?=[\s,]|$))/y;

/**
 * Chooses among the challenges of one or more `WWW-Authenticate` headers: the first Bearer that has a realm, else Basic.
 * Returns `undefined` when there is neither.
 */
export function chooseChallenge(header: string | readonly string[] | undefined): Challenge | undefined {
  const headers = header === undefined ? [] : typeof header === 'string' ? [header] : header;
  const challenges = headers.flatMap(parseChallenges);
  for (const { scheme, params } of challenges) {
    const realm = params.get('realm');
    if (scheme === 'bearer' && realm !== undefined)
      return { scheme, realm, service: params.get('service'), scope: params.get('scope')?.trim() || undefined };
  }
  return challenges.some(({ scheme }) => scheme === 'basic') ? { scheme: 'basic' } : undefined;
}

interface ParsedChallenge {
  /** Lower case. */
  readonly scheme: string;
  readonly params: Map<string, string>;
}

/** Parses the challenges of one header. Stops at the first malformed element and returns the challenges before it. */
export function parseChallenges(header: string): readonly ParsedChallenge[] {
  const challenges: ParsedChallenge[] = [];
  if (header.length > maxChallengeLength) return challenges;
  const steps = new RegExp(stepPattern);
  for (let step = steps.exec(header); step !== null; step = steps.exec(header)) {
    const [, name, quoted, token, scheme] = step;
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), params: new Map() });
    else if (name !== undefined)
      challenges.at(-1)?.params.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? token ?? '');
  }
  return challenges;
}
