import type { AccessControl, Principal } from '../../../ports/access/access.js';
import type { Metrics } from '../../../ports/operations/metrics.js';
import type { RecentRequests, Sample, Statistics } from '../../../ports/operations/monitoring.js';
import type { RepositoryDirectory } from '../../../ports/repository.js';
import { RegistryError } from '../../../protocol/errors.js';
import { parsePageSize } from '../../../protocol/headers.js';
import type { ManagementOp, ManagementParams } from '../../../protocol/tables/management.js';
import {
  decodeRequestsCursor,
  decodeStatisticsRequest,
  encodeRequest,
  encodeStatistics,
} from '../../../protocol/tables/documents/monitoring-documents.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';

/** The dependencies of `createMonitoringHandlers`. */
export interface MonitoringParts {
  readonly access: AccessControl;
  readonly directory: RepositoryDirectory;
  readonly statistics: Statistics;
  readonly requests: RecentRequests;
  /** Absent if metrics are off. */
  readonly metrics?: (() => Promise<Metrics>) | undefined;
  readonly now: () => number;
}

type MonitoringOp = Extract<ManagementOp, `${'statistics' | 'request' | 'metrics'}.${string}`>;
type MonitoringHandlers = { readonly [O in MonitoringOp]: Handler<ManagementParams<O>> };

const maxRequests = 1000;
/** The approximate size of a request, and of the figures of a period, in an answer. */
const bytesPerRequest = 500;
const bytesPerPoint = 150;
const fresh = { 'Cache-Control': 'no-store' };

/** Creates the handlers of figures over time and of the latest requests. */
export function createMonitoringHandlers(parts: () => MonitoringParts): MonitoringHandlers {
  return {
    'statistics.get': async ({ query, caller: { principal }, turn }) => {
      const request = decodeStatisticsRequest(query, parts().now());
      const samples = await parts().statistics.read(request.step, request.since);
      const names = await findNames(parts(), principal, samples, request.repository);
      const document = encodeStatistics(samples, names, request);
      await turn(samples.length * (request.split ? names.length + 1 : 1) * bytesPerPoint);
      return jsonReply(200, document, fresh);
    },
    'request.list': async ({ query, turn }) => {
      const after = decodeRequestsCursor(query);
      const limit = parsePageSize(query.get('n'), maxRequests);
      const { requests } = parts();
      const found = after === undefined ? requests.latest(limit) : requests.after(after, limit);
      await turn(found.length * bytesPerRequest);
      const cursor = String(found.at(-1)?.seq ?? after ?? 0);
      return jsonReply(200, { requests: found.map(encodeRequest), cursor }, fresh);
    },
    'metrics.get': async () => {
      const { metrics } = parts();
      if (metrics === undefined) {
        throw new RegistryError('NOT_FOUND', { message: 'metrics are off: set the option "metrics" to true' });
      }
      const loaded = await metrics();
      const body = (await loaded.getText()) + (await loaded.getProcessText());
      return { status: 200, headers: { 'Content-Type': loaded.contentType, ...fresh }, body };
    },
  };
}

/**
 * Returns the names of the repositories, present and deleted, that the caller may know of, or only the requested one.
 * @throws RegistryError NAME_UNKNOWN, the same for an absent repository and one that the caller may not know of.
 */
async function findNames(
  { access, directory }: MonitoringParts,
  principal: Principal,
  samples: readonly Sample[],
  repository: string | undefined,
): Promise<readonly string[]> {
  const sampled = samples.flatMap(({ repositories }) => Object.keys(repositories));
  const names = new Set([...directory.list().map(({ record }) => record.config.name), ...sampled]);
  const shown: string[] = [];
  for (const name of [...names].sort()) {
    if (repository !== undefined && name !== repository) continue;
    if (await access.mayKnow(principal, name)) shown.push(name);
  }
  if (repository === undefined || shown.length > 0) return shown;
  throw new RegistryError('NAME_UNKNOWN', { detail: { repository } });
}
