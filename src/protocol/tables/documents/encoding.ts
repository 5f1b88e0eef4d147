/**
 * Builds the JSON documents of the management API from values of the domain, one file per subject.
 * Imports only protocol/ and types of ports/.
 */
import type { CacheStatusDocument, ExplanationDocument, ProbeDocument } from '../../documents/caches.js';
import { RegistryError } from '../../errors.js';
import type { Problem } from '../../settings/option-schema.js';
import { mapKeys, toSnakeCase, toWirePath } from '../spelling.js';

/** Returns the status of a remote repository as the API shows it, with times in RFC 3339 format. */
export function encodeStatus(status: { readonly countedSince: number }): CacheStatusDocument {
  return encodeDocument({ ...status, countedSince: encodeTime(status.countedSince) }) as CacheStatusDocument;
}

/** Returns the outcome of a probe of an upstream as the API shows it. */
export function encodeProbe(probe: {
  readonly state: ProbeDocument['state'];
  readonly status?: number;
  readonly durationMs: number;
  readonly reason?: string;
}): ProbeDocument {
  const { state, status = null, durationMs, reason = null } = probe;
  return { state, status, duration_ms: Math.round(durationMs), reason };
}

/** Returns a health report as the API shows it, with times in RFC 3339 format. */
export function encodeHealth(report: object): object {
  return encodeDocument(report);
}

/**
 * Returns a document as the API shows it: keys in snake case, and the numbers of `at` and of keys that end in `At` as times in
 * RFC 3339 format, at any depth.
 */
export function encodeDocument(document: object): object {
  const withTimes = JSON.stringify(document, (key, value: unknown) =>
    (key === 'at' || key.endsWith('At')) && typeof value === 'number' ? encodeTime(value) : value,
  );
  return mapKeys(JSON.parse(withTimes), toSnakeCase) as object;
}

/** Returns an explanation as the API shows it, with times in RFC 3339 format. */
export function encodeExplanation(explanation: object): ExplanationDocument {
  const { members, ...own } = explanation as { members?: readonly object[] };
  const times = Object.entries(own).map(([key, value]): [string, unknown] => {
    const isTime = typeof value === 'number' && (key === 'checkedAt' || key === 'freshUntil');
    if (typeof value === 'object' && value !== null) return [toSnakeCase(key), encodeDocument(value)];
    return [toSnakeCase(key), isTime ? encodeTime(value) : value];
  });
  return {
    // The cast: these are the fields of an explanation, spelled as in the API, which the compiler cannot see.
    ...(Object.fromEntries(times) as unknown as ExplanationDocument),
    ...(members === undefined ? {} : { members: members.map(encodeExplanation) }),
  };
}

/** Formats a time in ms since the epoch as RFC 3339 in UTC. */
export function encodeTime(at: number): string {
  return new Date(at).toISOString();
}

/** The number of problems that an error lists. */
const maxProblems = 50;

/** Creates the error for an invalid document. */
export function problemsFound(problems: readonly Problem[]): RegistryError {
  return new RegistryError('OPTIONS_INVALID', { detail: problems.slice(0, maxProblems) });
}

/** Returns a problem with the names of options as the API spells them. */
export function toWireProblem({ path, problem }: Problem): Problem {
  return { path: toWirePath(path), problem: problem.replace(/"[a-zA-Z0-9]+"/g, toSnakeCase) };
}
