import type { EventEmitter } from 'node:events';
import type { RefusalCounts, RegistryEvents } from '../ports/runtime.js';
import { refusalReasons } from '../protocol/refusal-reasons.js';

/** Starts to count refused clients. Returns a function that reads the counts. */
export function countRefusals(events: EventEmitter<RegistryEvents>): () => RefusalCounts {
  const counts = Object.fromEntries(refusalReasons.map((reason) => [reason, 0])) as Record<keyof RefusalCounts, number>;
  events.on('client.refused', ({ reason }) => (counts[reason] += 1));
  return () => ({ ...counts });
}
