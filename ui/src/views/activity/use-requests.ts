import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { RequestDocument, RequestsDocument } from '../../../../src/protocol/documents/monitoring.js';
import { get } from '../../api.ts';
import { useAnswer, useEvery, type Answer } from '../../use-answer.ts';

/** The number of requests that the registry remembers. */
const maxRequests = 1000;

/** Reads the last requests, newest first, and new ones every 2 seconds unless it is paused. */
export function useRequests(isPaused: boolean): Answer<readonly RequestDocument[]> {
  const first = useAnswer((signal) => get<RequestsDocument>('requests', { n: maxRequests }, signal), []);
  const [newer, setNewer] = useState<readonly RequestDocument[]>([]);
  const place = useRef<Place>({});
  useEffect(() => {
    place.current = first.value === undefined ? {} : { cursor: first.value.cursor };
    setNewer([]);
  }, [first.value]);
  const { reload } = first;
  const poll = useCallback(() => {
    if (!isPaused) void readNewer(place, setNewer, reload);
  }, [isPaused, reload]);
  useEvery(2, poll);
  const value = first.value && [...newer, ...first.value.requests.toReversed()].slice(0, maxRequests);
  return { ...first, value };
}

interface Place {
  cursor?: string;
  isBusy?: boolean;
}

async function readNewer(
  place: { readonly current: Place },
  setNewer: (change: (before: readonly RequestDocument[]) => readonly RequestDocument[]) => void,
  reload: () => void,
): Promise<void> {
  const { current } = place;
  if (current.cursor === undefined || current.isBusy === true) return;
  current.isBusy = true;
  try {
    const { requests, cursor } = await get<RequestsDocument>('requests', { after: current.cursor, n: maxRequests });
    // The registry restarted, and its numbers began again.
    if ((requests[0]?.seq ?? Infinity) <= Number(current.cursor)) return reload();
    current.cursor = cursor;
    // After a reload, `place` is another one.
    if (place.current !== current || requests.length === 0) return;
    setNewer((before) => [...requests.toReversed(), ...before].slice(0, maxRequests));
  } catch {
    // Shows the error.
    reload();
  } finally {
    current.isBusy = false;
  }
}
