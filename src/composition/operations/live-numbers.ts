import type { AuditSettings } from '../../operations/audit-file.js';
import type { LiveOptions } from '../../options/live-options.js';

/** Times and limits of local repositories and of the garbage collector. */
export interface LiveNumbers {
  /** The grace period of blobs that no manifest names. */
  readonly graceMs: number;
  readonly uploadExpiryMs: number;
  /** The time that orphans stay in quarantine. */
  readonly orphanRetentionMs: number;
  /** The maximum size of a pushed blob; Infinity means no limit. */
  readonly maxBlobBytes: number;
}

/** Returns the settings of the audit file, which follow the options except for the file; `undefined` without an audit file. */
export function auditSettings(live: LiveOptions): AuditSettings | undefined {
  const first = live.current.audit;
  if (first === undefined) return undefined;
  // A reload neither adds nor removes the file, so there is always a current one.
  const current = (): AuditSettings => live.current.audit ?? first;
  return {
    file: first.file,
    get keepDays() {
      return current().keepDays;
    },
    get maxBytes() {
      return current().maxBytes;
    },
    get events() {
      return current().events;
    },
  };
}

/** Adds the numbers to parts as getters, so that a reload takes effect. Do not spread the result: that copies the values. */
export function addNumbers<T extends object>(parts: T, live: LiveOptions): T & LiveNumbers {
  const numbers: LiveNumbers = {
    get graceMs() {
      return live.current.garbageCollection.graceSeconds * 1000;
    },
    get uploadExpiryMs() {
      return live.current.garbageCollection.uploadExpirySeconds * 1000;
    },
    get orphanRetentionMs() {
      return live.current.garbageCollection.orphanRetentionSeconds * 1000;
    },
    get maxBlobBytes() {
      return live.current.limits.maxBlobBytes ?? Infinity;
    },
  };
  // `defineProperties` returns `any`-like types for descriptors; these are the getters above.
  return Object.defineProperties({ ...parts }, Object.getOwnPropertyDescriptors(numbers)) as T & LiveNumbers;
}
