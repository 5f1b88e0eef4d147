import type { AccessControl } from '../../ports/access.js';
import type { Archives } from '../../ports/archives.js';
import type { Jobs, ReadPlan } from '../../ports/jobs.js';
import type { Journal } from '../../ports/journal.js';
import type { Caller, Repository, RepositoryDirectory } from '../../ports/repository.js';
import type { HealthReport } from '../../ports/runtime.js';
import type { Syncs } from '../../ports/syncs.js';
import type { Webhooks } from '../../ports/webhooks.js';
import type { RepositoryRecord } from '../../ports/metadata.js';
import { RegistryError } from '../../protocol/errors.js';
import { encodeExplanation, encodeHealth, encodeStatus } from '../../protocol/tables/encoding.js';
import {
  decodeRepository,
  encodeRepository,
  type ManagementOp,
  type ManagementParams,
} from '../../protocol/tables/management.js';
import { parseName, parseReference } from '../../protocol/names.js';
import type { OptionChange } from '../../protocol/settings/option-changes.js';
import { BoundedTasks } from '../limits/bounded-tasks.js';
import { readDocument } from '../bodies/document.js';
import type { Exchange, Handler } from '../exchange.js';
import { errorReply, jsonReply, type Reply } from '../reply.js';
import { createAccessHandlers, type AdministrationParts } from './access.js';
import { refuseWrites } from '../writer.js';
import { createListEvents } from './events.js';
import { createTrashHandlers } from './trash.js';
import { createGarbageHandlers, type GarbageParts } from './garbage.js';
import { encodeContent, readDryRun } from './dry-run.js';
import { createImageHandlers, type ImageParts } from './images.js';
import { createImageChangeHandlers } from './image-changes.js';
import { createJobHandlers } from './jobs.js';
import { createMonitoringHandlers, type MonitoringParts } from './monitoring.js';
import { getOpenApi } from './openapi.js';
import { createProtectionHandlers, type ProtectionParts } from './protection.js';
import { createGetStatus, type StatusParts } from './status.js';
import { purgeCache } from './purge.js';
import { measureBody } from './self-test.js';
import { createSessionHandlers, type RegistryFacts, type SessionParts } from './session.js';
import { createSyncHandlers } from './syncs.js';
import { createUpstreamHandlers } from './upstreams.js';
import { createWebhookHandlers } from './webhooks.js';

/** Concurrent imports. Each may use about 64 MiB of memory and disk space for its whole archive. */
const maxImports = 8;
/** Concurrent exports. Each opens one file at a time. */
const maxExports = 32;

/** The dependencies of `createManagementHandlers`. */
export interface ManagementParts
  extends AdministrationParts, GarbageParts, ImageParts, MonitoringParts, ProtectionParts, SessionParts, StatusParts {
  readonly directory: RepositoryDirectory;
  readonly access: AccessControl;
  readonly jobs: Jobs;
  readonly readPlan: ReadPlan;
  readonly syncs: Syncs;
  readonly webhooks: Webhooks;
  readonly journal: Journal;
  /** Loads the archive code. Awaited before the body of an import is opened, so that errors of the body are not missed. */
  loadArchives(): Promise<Archives>;
}

/** What the management API does with the whole registry, also while it is not open. */
export interface ManagementActions {
  readonly health: () => Promise<HealthReport>;
  /** Reads the configuration again and applies it. Absent: there is no configuration file. */
  readonly reload?: (() => Promise<readonly OptionChange[]>) | undefined;
  readonly facts: RegistryFacts;
}

type Handlers = { readonly [O in ManagementOp]: Handler<ManagementParams<O>> };

/** Creates the handlers of the management API. `parts` is called for each request, once the registry is open. */
export function createManagementHandlers(
  parts: () => ManagementParts,
  { health, reload, facts }: ManagementActions,
): Handlers {
  const find = (name: string): { repository: Repository; record: RepositoryRecord } => {
    const found = parts().directory.get(name);
    if (found !== undefined) return found;
    throw new RegistryError('NAME_UNKNOWN', { detail: { repository: name } });
  };
  const imports = new BoundedTasks(maxImports, 'imports');
  const exports = new BoundedTasks(maxExports, 'exports');
  return {
    'status.get': createGetStatus(parts),
    'health.get': async () => replyHealth(await health()),
    'openapi.get': getOpenApi,
    'repository.list': async ({ caller }) => jsonReply(200, { repositories: await listShown(parts(), caller) }),
    'repository.create': async ({ caller, req, body, prefix }) => {
      const record = await parts().directory.create(decodeRepository(await readDocument({ req, body })), caller.actor);
      return jsonReply(201, encodeRepository(record), {
        Location: `${prefix}/api/v1/repositories/${record.config.name}`,
      });
    },
    'repository.get': async ({ caller, params }) => {
      const { record, repository } = find(params.repository);
      const shown = encodeRepository(record);
      const at = { repository: params.repository };
      if (!(await parts().access.permits(caller.principal, 'admin', { at })))
        return jsonReply(200, withoutSettings(shown));
      const status = await repository.status?.();
      return jsonReply(200, status === undefined ? shown : { ...shown, status: encodeStatus(status) });
    },
    'repository.replace': async ({ caller, req, body, params }) => {
      const before = parts().directory.get(params.repository)?.record.config;
      const config = decodeRepository(await readDocument({ req, body }), { name: params.repository, before });
      return jsonReply(200, encodeRepository(await parts().directory.replace(config, caller.actor)));
    },
    'repository.delete': async ({ caller, params, query }) => {
      if (readDryRun(query))
        return jsonReply(200, encodeContent(await parts().directory.previewDelete(params.repository)));
      await parts().directory.delete(params.repository, caller.actor);
      return { status: 204 };
    },
    'archive.import': async (exchange) => {
      const repository = await findKnown(parts(), exchange);
      await requireSomePush(parts(), exchange);
      if (repository.writer === undefined) refuseWrites(repository, []);
      const [archives, { receiveArchive }] = await Promise.all([parts().loadArchives(), import('./archives.js')]);
      return imports.run(exchange.client.address, () => receiveArchive(repository, archives, exchange));
    },
    // Counts as an import: it takes as much of the connection.
    'selftest.body': (exchange) => imports.run(exchange.client.address, () => measureBody(exchange)),
    'archive.export': async (exchange) => {
      const repository = await findKnown(parts(), exchange);
      const [archives, { sendArchive }] = await Promise.all([parts().loadArchives(), import('./archives.js')]);
      return sendArchive(repository, archives, exchange, exports);
    },
    'cache.purge': async ({ params, query }) => {
      const { repository } = find(params.repository);
      return jsonReply(200, await purgeCache(repository, query));
    },
    ...createUpstreamHandlers((name) => find(name).repository),
    'explain.get': (exchange) => explain(parts().directory, exchange),
    ...createImageHandlers(parts, (name) => find(name).repository),
    ...createImageChangeHandlers(
      (name) => find(name).repository,
      () => parts().access,
    ),
    ...createTrashHandlers((name) => find(name).repository),
    'options.reload': async () => {
      if (reload !== undefined) return jsonReply(200, { changes: await reload() });
      throw new RegistryError('UNSUPPORTED', {
        status: 409,
        message: 'this registry has no configuration file: its application calls registry.reload(options)',
      });
    },
    ...createGarbageHandlers(parts),
    ...createAccessHandlers(parts),
    ...createProtectionHandlers(parts),
    ...createJobHandlers(
      () => parts().jobs,
      (job) => parts().readPlan(job),
    ),
    ...createSyncHandlers(() => parts().syncs),
    ...createSessionHandlers(parts, facts),
    ...createMonitoringHandlers(parts),
    ...createWebhookHandlers(() => parts().webhooks),
    'event.list': createListEvents(() => parts().journal),
  };
}

/**
 * Finds a repository that the caller may know of. Access to each image is checked later.
 * @throws RegistryError NAME_UNKNOWN, the same for an absent and a hidden repository.
 */
async function findKnown(
  { directory, access }: ManagementParts,
  { params: { repository: name }, caller }: Exchange<{ readonly repository: string }>,
): Promise<Repository> {
  const found = directory.get(name);
  if (found !== undefined && (await access.mayKnow(caller.principal, name))) return found.repository;
  throw new RegistryError('NAME_UNKNOWN', { detail: { repository: name } });
}

/**
 * Refuses callers that may not push to any image of the repository. The archive names its images only at its end, where each
 * is checked.
 */
async function requireSomePush(
  { access }: ManagementParts,
  { params: { repository }, caller: { principal }, client }: Exchange<{ readonly repository: string }>,
): Promise<void> {
  if (await access.mayKnow(principal, repository, 'push')) return;
  throw access.refusal(principal, { access: 'push', client, requiredGrants: [] });
}

/** Lists repositories: completely for their administrators, with few fields for those who may pull from them. */
async function listShown({ directory, access }: ManagementParts, { principal }: Caller): Promise<readonly object[]> {
  const shown: object[] = [];
  for (const { record } of directory.list()) {
    const { name } = record.config;
    const whole = encodeRepository(record);
    if (await access.permits(principal, 'admin', { at: { repository: name } })) shown.push(whole);
    else if (await access.mayKnow(principal, name)) shown.push(withoutSettings(whole));
  }
  return shown;
}

/** Returns what those may know of a repository who do not administer it. */
function withoutSettings({ name, package_type, repo_type, description }: Record<string, unknown>): object {
  return { name, package_type, repo_type, description };
}

/** Answers a health check. Failures were logged when they happened. */
function replyHealth(report: HealthReport): Reply {
  const detail = encodeHealth(report);
  if (report.status === 'ok') return jsonReply(200, detail);
  return errorReply(new RegistryError('UNAVAILABLE', { message: 'the registry is unhealthy: see detail', detail }));
}

/**
 * Explains how a name resolves.
 * @throws RegistryError NAME_UNKNOWN, the same for an absent image and one that the caller may not pull.
 */
async function explain(
  directory: RepositoryDirectory,
  { caller, query }: Exchange<ManagementParams<'explain.get'>>,
): Promise<Reply> {
  const name = parseName(query.get('name') ?? '');
  const reference = parseReference(query.get('reference') ?? 'latest');
  const namespace = query.get('ns') ?? undefined;
  const { at, repository } = directory.resolve(name, { host: query.get('host') ?? undefined, namespace });
  if (repository === undefined || !(await caller.mayPull(at))) {
    throw new RegistryError('NAME_UNKNOWN', { detail: { name } });
  }
  return jsonReply(200, encodeExplanation(await repository.explain(caller, at.image, reference)));
}
