import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { EventDocument, EventsDocument } from '../../../../src/protocol/documents/activity.js';
import { get, type ApiError } from '../../api.ts';
import { toProblem, useAnswer, useEvery, type Answer } from '../../use-answer.ts';

/** Events that a page asks for. */
export interface EventsFilter {
  readonly types: readonly string[];
  readonly repository: string | undefined;
  readonly image: string | undefined;
  readonly by: string | undefined;
}

/** Events, newest first, and a function that reads more. */
export interface EventsAnswer extends Answer<readonly EventDocument[]> {
  /** Reads older events. Absent when there are none. */
  readonly readOlder: (() => void) | undefined;
}

/** The number of events that stay on the page. */
const maxEvents = 2000;
const pageSize = 100;

/** Reads events, and new ones every 2 seconds unless it is paused. */
export function useEvents(filter: EventsFilter, isPaused: boolean): EventsAnswer {
  const key = JSON.stringify(filter);
  const ask = (at: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<EventsDocument> =>
    get('events', { ...filter, ...at, n: pageSize }, signal);
  const first = useAnswer((signal) => ask({}, signal), [key]);
  const [more, setMore] = useState<Pages>({ newer: [], older: [] });
  const [problem, setProblem] = useState<ApiError | undefined>(undefined);
  const place = useRef<Place>({});
  useEffect(() => {
    const { value } = first;
    place.current = value === undefined ? {} : { of: value, latest: value.latest ?? '0', older: value.cursor };
    setMore({ newer: [], older: [] });
    setProblem(undefined);
  }, [first.value]);
  const read = async (side: 'newer' | 'older'): Promise<void> => {
    const { current } = place;
    const { of, latest, older } = current;
    if (of === undefined || current.isBusy === true) return;
    current.isBusy = true;
    try {
      const page = await ask(side === 'newer' ? { after: latest ?? '0' } : { before: older ?? '0' });
      setProblem(undefined);
      if (side === 'newer') current.latest = page.cursor ?? latest;
      else current.older = page.cursor;
      // The filter may have changed meanwhile; then `place` is another one.
      if (place.current === current && page.events.length > 0) setMore((before) => join(before, side, page.events));
    } catch (error) {
      setProblem(toProblem(error));
    }
    current.isBusy = false;
  };
  const latestRead = useRef(read);
  latestRead.current = read;
  const poll = useCallback(() => void (isPaused ? undefined : latestRead.current('newer')), [isPaused]);
  useEvery(2, poll);
  const events = first.value && [...more.newer, ...first.value.events, ...more.older];
  const hasOlder = typeof place.current.older === 'string';
  return {
    ...first,
    value: events,
    problem: first.problem ?? problem,
    readOlder: hasOlder ? () => void read('older') : undefined,
  };
}

interface Pages {
  readonly newer: readonly EventDocument[];
  readonly older: readonly EventDocument[];
}

interface Place {
  of?: EventsDocument;
  latest?: string | undefined;
  older?: string | null;
  isBusy?: boolean;
}

/** New events arrive oldest first. */
function join({ newer, older }: Pages, side: keyof Pages, events: readonly EventDocument[]): Pages {
  return side === 'newer'
    ? { newer: [...events.toReversed(), ...newer].slice(0, maxEvents), older }
    : { newer, older: [...older, ...events] };
}
