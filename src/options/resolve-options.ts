/**
 * The options of `createRegistry`: their schema, defaults and validation. `generated/` holds the interfaces that come
 * from the schema. Imported by the composition root and the command; imports ports/, protocol/ and util/.
 */
import path from 'node:path';
import type { Problem } from '../protocol/settings/option-schema.js';
import { describeProblems } from '../protocol/settings/option-schema.js';
import { checkSync } from '../protocol/settings/sync-config.js';
import { checkTogether } from '../protocol/settings/repository-graph.js';
import { findRepeatedQuotas } from '../protocol/settings/quota-config.js';
import type { RegistryOptions } from './generated/registry-options.js';
import { optionsSchema, type ResolvedOptions } from './options-schema.js';

/** The options have problems: all of them, each with its path. */
export class OptionsError extends Error {
  override readonly name = 'OptionsError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(
      `the options have problems:\n${problems.map(({ path, problem }) => `  ${path || '(top)'}: ${problem}`).join('\n')}`,
    );
    this.problems = problems;
  }
}

/**
 * Checks options and fills in the defaults; the argument stays as it is.
 * @throws OptionsError with every problem at once.
 */
export function resolveOptions(options: RegistryOptions): ResolvedOptions {
  const checked = optionsSchema.safeParse(options);
  const problems = [
    ...(checked.success
      ? [
          ...checkTogether(checked.data.repositories, (i) => `repositories[${i}].`),
          ...checkSendfile(checked.data),
          ...checkBackups(checked.data),
          ...checkSyncs(checked.data),
          ...checkWebhooks(checked.data),
          ...findRepeatedQuotas(checked.data.quotas, 'quotas'),
        ]
      : describeProblems(checked.error)),
    ...findTakenNames(options),
  ];
  if (checked.success && problems.length === 0) return checked.data;
  throw new OptionsError(problems);
}

/** Finds what would leave the option without any effect. */
function checkSendfile({ sendfile, storage, trustedProxies }: ResolvedOptions): Problem[] {
  if (sendfile === undefined) return [];
  const at = 'sendfile';
  return [
    ...(trustedProxies.length === 0 ? [{ path: at, problem: "needs the proxy's address in trustedProxies" }] : []),
    ...(sendfile === 'x-accel' && typeof storage !== 'string' ? [{ path: at, problem: 'needs a data folder' }] : []),
  ];
}

/** Finds a folder for backups that could not hold any. Symbolic links are resolved when a backup is written. */
function checkBackups({ backups, storage }: ResolvedOptions): Problem[] {
  if (backups.folder === undefined || typeof storage !== 'string') return [];
  const at = 'backups.folder';
  const between = path.relative(path.resolve(storage), path.resolve(backups.folder));
  const isInside = between === '' || !between.startsWith('..');
  return isInside && !path.isAbsolute(between) ? [{ path: at, problem: 'must be outside of the data folder' }] : [];
}

/** Finds syncs with the same name, and those whose repositories are missing or unsuitable. */
function checkSyncs({ sync: syncs, repositories }: ResolvedOptions): Problem[] {
  const byName = new Map(repositories.map((config) => [config.name, config]));
  return syncs.flatMap((config, i) => {
    const first = syncs.findIndex(({ name }) => name === config.name);
    const taken = first < i ? [{ path: 'name', problem: `is already the name of sync[${first}]` }] : [];
    const problems = [...taken, ...checkSync(config, (name) => byName.get(name))];
    return problems.map(({ path, problem }) => ({ path: `sync[${i}].${path}`, problem }));
  });
}

/** Finds webhooks with the same name. */
function checkWebhooks({ webhooks }: ResolvedOptions): Problem[] {
  return webhooks.flatMap(({ name }, i) => {
    const first = webhooks.findIndex((other) => other.name === name);
    return first < i ? [{ path: `webhooks[${i}].name`, problem: `is already the name of webhooks[${first}]` }] : [];
  });
}

/** Looks at the options as they came, so that these problems are reported beside others. */
function findTakenNames(options: Partial<RegistryOptions> | undefined): Problem[] {
  const repositories: unknown = options?.repositories;
  if (!Array.isArray(repositories)) return [];
  const names = repositories.map((repository: unknown) =>
    typeof repository === 'object' && repository !== null && 'name' in repository ? repository.name : undefined,
  );
  return names.flatMap((name, i) => {
    const first = names.indexOf(name);
    if (name === undefined || first === i) return [];
    return [{ path: `repositories[${i}].name`, problem: `is already the name of repositories[${first}]` }];
  });
}
