import { compareOptions, reloadingOf, type OptionChange, type Reloading } from '../protocol/settings/option-changes.js';
import { isSameStorage } from './storage-schema.js';
import type { ResolvedOptions } from './options-schema.js';
import { OptionsError } from './resolve-options.js';

type AuditOption = `audit.${keyof NonNullable<ResolvedOptions['audit']>}`;

/**
 * The effect of a reload on a change of each option, or of anything in it. To make a new option `live`, read it from
 * `LiveOptions.current` where it is used, or create the part that uses it again in `partsOf`
 * (src/composition/open-registry.ts). Where the options in one differ, add them by their paths.
 */
export const optionReloading: Readonly<Record<keyof ResolvedOptions | AuditOption, Reloading>> = {
  storage: 'restart',
  access: 'live',
  repositories: 'live',
  hosts: 'live',
  namespaces: 'live',
  defaultRepository: 'live',
  prefix: 'restart',
  publicUrl: 'live',
  trustedProxies: 'live',
  sendfile: 'live',
  quotas: 'live',
  limits: 'live',
  garbageCollection: 'live',
  sync: 'live',
  webhooks: 'live',
  // A file can neither be added nor removed nor replaced by another.
  audit: 'restart',
  'audit.file': 'restart',
  'audit.keepDays': 'live',
  'audit.maxBytes': 'live',
  'audit.events': 'live',
  backups: 'live',
  imports: 'live',
  retention: 'live',
  hooks: 'live',
  metrics: 'restart',
  reserveBytes: 'restart',
  acceptEmptyIndex: 'next start',
  maxManifestCacheBytes: 'restart',
  logger: 'restart',
};

/** The options that a registry uses now. Read `current` at each use, so that a reload takes effect. */
export interface LiveOptions {
  current: ResolvedOptions;
}

/** Returns what a reload would change. */
export function compareResolved(before: ResolvedOptions, after: ResolvedOptions): OptionChange[] {
  const { storage: storageBefore, logger: loggerBefore, ...optionsBefore } = before;
  const { storage, logger, ...options } = after;
  // Objects of code are compared by identity.
  const code = [
    ...(isSameStorage(storageBefore, storage) ? [] : [{ option: 'storage', change: 'changed' } as const]),
    ...(logger === loggerBefore ? [] : [{ option: 'logger', change: 'changed' } as const]),
  ];
  return [...code, ...compareOptions('', optionsBefore, options)];
}

/** @throws OptionsError that lists all changes that need a restart. */
export function refuseRestarts(
  changes: readonly OptionChange[],
  reloading: Readonly<Record<string, Reloading>> = optionReloading,
): void {
  const refused = changes.filter((change) => reloadingOf(change, reloading) === 'restart');
  if (refused.length === 0) return;
  const problem = 'cannot change while the registry runs: restart it, or restore the previous value';
  throw new OptionsError(refused.map(({ option }) => ({ path: option, problem })));
}
