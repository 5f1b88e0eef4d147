import type { Problem } from '../settings/option-schema.js';
import { problemsFound } from './documents/encoding.js';
import { imageSorts, tagSorts } from './query-parameters.js';

const maxSearchChars = 200;

/** The search and the order of a list. */
export interface RowOrder<Sort> {
  readonly q?: string;
  readonly sort: Sort;
  readonly isDescending: boolean;
}

/** Decodes the query of a list of images. @throws RegistryError OPTIONS_INVALID with all problems. */
export function decodeImageRows(
  query: URLSearchParams,
): RowOrder<(typeof imageSorts)[number]> & { withUnique: boolean } {
  const problems: Problem[] = [];
  const order = decodeOrder(query, imageSorts, problems);
  const withUnique = decodeFlag(query, 'unique', problems);
  if (problems.length > 0) throw problemsFound(problems);
  return { ...order, withUnique };
}

/** Decodes the query of a list of tags. @throws RegistryError OPTIONS_INVALID with all problems. */
export function decodeTagRows(query: URLSearchParams): RowOrder<(typeof tagSorts)[number]> & { untagged: boolean } {
  const problems: Problem[] = [];
  const order = decodeOrder(query, tagSorts, problems);
  const untagged = decodeFlag(query, 'untagged', problems);
  if (problems.length > 0) throw problemsFound(problems);
  return { ...order, untagged };
}

function decodeOrder<Sort extends string>(
  query: URLSearchParams,
  sorts: readonly Sort[],
  problems: Problem[],
): RowOrder<Sort> {
  const q = query.get('q') ?? '';
  if (q.length > maxSearchChars)
    problems.push({ path: 'q', problem: `must have at most ${maxSearchChars} characters` });
  const given = query.get('sort') ?? 'name';
  const isDescending = given.startsWith('-');
  const sort = sorts.find((one) => one === (isDescending ? given.slice(1) : given));
  if (sort === undefined) {
    problems.push({
      path: 'sort',
      problem: `must be one of ${sorts.join(', ')}, optionally with "-" in front to sort the other way`,
    });
  }
  return { ...(q === '' ? {} : { q }), sort: sort ?? (sorts[0] as Sort), isDescending };
}

function decodeFlag(query: URLSearchParams, path: string, problems: Problem[]): boolean {
  const value = query.get(path) ?? 'false';
  if (value !== 'true' && value !== 'false') problems.push({ path, problem: 'must be "true" or "false"' });
  return value === 'true';
}
