/**
 * One handler per operation, in one folder per subject: it reads the request, calls the domain, and returns a `Reply`.
 * This file combines the handlers of the management API.
 */
import type { AccessControl } from '../../ports/access/access.js';
import type { Archives } from '../../ports/archives.js';
import type { Jobs, ReadPlan } from '../../ports/operations/jobs.js';
import type { Journal } from '../../ports/metadata/journal.js';
import type { Repository, RepositoryDirectory } from '../../ports/repository.js';
import type { HealthReport } from '../../ports/runtime.js';
import type { Syncs } from '../../ports/operations/syncs.js';
import type { Webhooks } from '../../ports/operations/webhooks.js';
import { RegistryError } from '../../protocol/errors.js';
import { encodeExplanation, encodeHealth } from '../../protocol/tables/documents/encoding.js';
import type { ManagementOp, ManagementParams } from '../../protocol/tables/management.js';
import { parseName, parseReference } from '../../protocol/names.js';
import type { OptionChange } from '../../protocol/settings/option-changes.js';
import { BoundedTasks } from '../limits/bounded-tasks.js';
import type { Exchange, Handler } from '../exchange.js';
import { errorReply, jsonReply, type Reply } from '../reply.js';
import { createAccessHandlers, type AdministrationParts } from './access/access.js';
import { refuseWrites } from '../writer.js';
import { createListEvents } from './operations/events.js';
import { createTrashHandlers } from './images/trash.js';
import { createGarbageHandlers, type GarbageParts } from './operations/garbage.js';
import { createImageHandlers, type ImageParts } from './images/images.js';
import { createImageChangeHandlers } from './images/image-changes.js';
import { createJobHandlers } from './operations/jobs.js';
import { createMonitoringHandlers, type MonitoringParts } from './operations/monitoring.js';
import { getOpenApi } from './operations/openapi.js';
import { createProtectionHandlers, type ProtectionParts } from './protection.js';
import { createGetStatus, type StatusParts } from './operations/status.js';
import { purgeCache } from './images/purge.js';
import { createRepositoryHandlers, findRepository, type RepositoryHandlerParts } from './repositories.js';
import { measureBody } from './operations/self-test.js';
import { createSessionHandlers, type RegistryFacts, type SessionParts } from './access/session.js';
import { createSyncHandlers } from './operations/syncs.js';
import { createUpstreamHandlers } from './operations/upstreams.js';
import { createWebhookHandlers } from './operations/webhooks.js';

/** The maximum number of concurrent imports. Each may use about 64 MiB of memory, and disk space for its whole archive. */
const maxImports = 8;
/** The maximum number of concurrent exports. Each opens one file at a time. */
const maxExports = 32;

/** The dependencies of `createManagementHandlers`. */
export interface ManagementParts
  extends
    AdministrationParts,
    GarbageParts,
    ImageParts,
    MonitoringParts,
    ProtectionParts,
    RepositoryHandlerParts,
    SessionParts,
    StatusParts {
  readonly directory: RepositoryDirectory;
  readonly access: AccessControl;
  readonly jobs: Jobs;
  readonly readPlan: ReadPlan;
  readonly syncs: Syncs;
  readonly webhooks: Webhooks;
  readonly journal: Journal;
  /**
   * Loads the archive code. Awaited before the body of an import is opened, so that errors of the body are not missed.
   */
  loadArchives(): Promise<Archives>;
}

/** The operations of the management API on the whole registry, which work even while it is not open. */
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
  const find = (name: string) => findRepository(parts().directory, name);
  const imports = new BoundedTasks(maxImports, 'imports');
  const exports = new BoundedTasks(maxExports, 'exports');
  return {
    'status.get': createGetStatus(parts),
    'health.get': async () => replyHealth(await health()),
    'openapi.get': getOpenApi,
    ...createRepositoryHandlers(parts),
    'archive.import': async (exchange) => {
      const repository = await findKnown(parts(), exchange);
      await requireSomePush(parts(), exchange);
      if (repository.writer === undefined) refuseWrites(repository, []);
      const [archives, { receiveArchive }] = await Promise.all([
        parts().loadArchives(),
        import('./images/archives.js'),
      ]);
      return imports.run(exchange.client.address, () => receiveArchive(repository, archives, exchange));
    },
    // Counts as an import, because it occupies the connection just as much.
    'selftest.body': (exchange) => imports.run(exchange.client.address, () => measureBody(exchange)),
    'archive.export': async (exchange) => {
      const repository = await findKnown(parts(), exchange);
      const [archives, { sendArchive }] = await Promise.all([parts().loadArchives(), import('./images/archives.js')]);
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
        message:
          'this registry has no configuration file: start it with artifactapi serve --config <file>, or call registry.reload(options) in its application',
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
