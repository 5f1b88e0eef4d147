/**
 * The options of `createRegistry`: their schema, defaults and validation. `generated/` holds the interfaces that come
 * from the schema. Imported by the composition root and the command; imports ports/, protocol/ and util/.
 */
import path from 'node:path';
import type { Problem } from '../protocol/settings/option-schema.js';
import { describeProblems } from '../protocol/settings/option-schema.js';
import { redirectSeconds, sharesCredentials } from '../protocol/redirects.js';
import { checkSync } from '../protocol/settings/sync-config.js';
import { checkTogether } from '../protocol/settings/repository-graph.js';
import { findRepeatedQuotas } from '../protocol/settings/quota-config.js';
import type { RegistryOptions } from './generated/registry-options.js';
import { optionsSchema, type ResolvedOptions } from './options-schema.js';
import { isBucketStorage, isDatabaseIndex, redirectHostOf } from './storage-schema.js';

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
          ...checkImports(checked.data),
          ...checkBucket(checked.data),
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
  if (backups.folder === undefined) return [];
  const at = 'backups.folder';
  const metadata = isBucketStorage(storage) ? storage.metadata : undefined;
  if (metadata !== undefined && isDatabaseIndex(metadata))
    return [{ path: at, problem: 'cannot be used with an index in PostgreSQL: back up the database' }];
  const folder = metadata?.level ?? storage;
  if (typeof folder !== 'string') return [];
  return isInside(folder, backups.folder) ? [{ path: at, problem: 'must be outside of the data folder' }] : [];
}

/**
 * Finds folders for imports that overlap with the data folder. Symbolic links are resolved when a folder is imported.
 */
function checkImports({ imports, storage }: ResolvedOptions): Problem[] {
  if (typeof storage !== 'string') return [];
  return imports.folders.flatMap((folder, i) => {
    const overlaps = isInside(storage, folder) || isInside(folder, storage);
    const problem = 'must not contain the data folder, or be inside it';
    return overlaps ? [{ path: `imports.folders[${i}]`, problem }] : [];
  });
}

/** Finds options that would have no effect with this storage, and redirects that clients could not follow. */
function checkBucket({ storage, acceptEmptyIndex, publicUrl }: ResolvedOptions): Problem[] {
  if (!isBucketStorage(storage)) return [];
  const { kmsKeyId, encryption, redirect, trashSeconds } = storage.blobs.s3;
  const found: Problem[] = [];
  const report = (name: string, problem: string): void =>
    void found.push({ path: `storage.blobs.s3.${name}`, problem });
  if (kmsKeyId !== undefined && encryption !== 'aws:kms') report('kmsKeyId', "needs encryption: 'aws:kms'");
  if (acceptEmptyIndex && isDatabaseIndex(storage.metadata)) {
    found.push({ path: 'acceptEmptyIndex', problem: 'cannot be used with an index in PostgreSQL' });
  }
  for (const name of ['redirectRepositories', 'redirectNetworks', 'publicEndpoint'] as const) {
    if (!redirect && storage.blobs.s3[name] !== undefined) report(name, 'needs redirect: true');
  }
  if (!redirect) return found;
  if (trashSeconds < redirectSeconds) report('trashSeconds', `must be at least ${redirectSeconds} with redirect: true`);
  const host = redirectHostOf(storage.blobs.s3);
  if (publicUrl !== undefined && sharesCredentials(new URL(publicUrl).host, host)) {
    report('redirect', `clients send the credentials of ${publicUrl} to ${host} too, which the service refuses`);
  }
  return found;
}

function isInside(outer: string, inner: string): boolean {
  const between = path.relative(path.resolve(outer), path.resolve(inner));
  return (between === '' || !between.startsWith('..')) && !path.isAbsolute(between);
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

/** Checks the options as given, so that these problems are reported together with others. */
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
