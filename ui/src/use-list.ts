import { useEffect, useState } from 'preact/hooks';
import { getAll, maxItems, type Listed } from './api.ts';
import { createFilter } from './format.ts';
import { useAnswer, type Answer } from './use-answer.ts';

/** A list that the page filters, or the registry if it is too long for the page. */
export interface FilteredList<Item> {
  /** All items that were read, or the first 20,000. */
  readonly answer: Answer<Listed<Item>>;
  /** The items that match the filter. */
  readonly shown: readonly Item[];
  /** Whether there are more items than were read. */
  readonly isLong: boolean;
  /** Whether the registry is searching for more matches. */
  readonly isSearching: boolean;
}

/** The list to read. */
export interface ListRequest<Item> {
  readonly path: string;
  readonly pick: (document: never) => readonly Item[];
  readonly query?: Readonly<Record<string, string | boolean | undefined>>;
  /** The filter: a part of the name, or a pattern with `*`. */
  readonly q: string;
  readonly namesOf: (item: Item) => readonly string[];
}

/** After the last key. */
const pauseMs = 300;

/** Reads a list. The registry filters it where the page does not have all of it. */
export function useList<Item>({ path, pick, query = {}, q, namesOf }: ListRequest<Item>): FilteredList<Item> {
  const answer = useAnswer(
    (signal, onPage: (part: Listed<Item>) => void) => getAll(path, pick, query, { signal, onPage }),
    [path, query],
  );
  const { items = [], isComplete = true } = answer.value ?? {};
  const isLong = !isComplete && items.length >= maxItems;
  const wanted = isLong ? q.trim() : '';
  const asked = useLater(wanted);
  const search = useAnswer<Listed<Item> | undefined>(
    async (signal) => (asked === '' ? undefined : getAll(path, pick, { ...query, q: asked }, { signal })),
    [path, query, asked],
  );
  const found = wanted !== '' && asked === wanted ? search.value : undefined;
  const isSearching = wanted !== '' && found === undefined && search.problem === undefined;
  const matches = createFilter(q);
  return {
    answer: {
      ...answer,
      problem: answer.problem ?? (wanted === '' ? undefined : search.problem),
      reload: () => {
        answer.reload();
        search.reload();
      },
    },
    shown: found?.items ?? items.filter((item) => namesOf(item).some(matches)),
    isLong,
    isSearching,
  };
}

/** Returns a text once it has not changed for a moment; an empty one at once. */
function useLater(text: string): string {
  const [later, setLater] = useState(text);
  useEffect(() => {
    if (text === '') return setLater('');
    const timer = setTimeout(() => setLater(text), pauseMs);
    return () => clearTimeout(timer);
  }, [text]);
  return later;
}
