import type { QuotaAdministration } from '../../ports/metadata/quotas.js';
import type { RepositoryDirectory } from '../../ports/repository.js';
import { RegistryError } from '../../protocol/errors.js';
import { parseTag } from '../../protocol/names.js';
import { immutablePatternOf } from '../../protocol/settings/immutable-tags.js';
import type { ManagementOp, ManagementParams } from '../../protocol/tables/management.js';
import { decodeQuotas, encodeQuotas } from '../../protocol/tables/documents/quota-documents.js';
import { readDocument } from '../bodies/document.js';
import type { Handler } from '../exchange.js';
import { jsonReply } from '../reply.js';

type ProtectionOp = Extract<ManagementOp, 'immutability.get' | `quota.${string}`>;
type ProtectionHandlers = { readonly [O in ProtectionOp]: Handler<ManagementParams<O>> };

/** The dependencies of `createProtectionHandlers`. */
export interface ProtectionParts {
  readonly directory: RepositoryDirectory;
  readonly quotas: QuotaAdministration;
}

/** Creates the handlers for the protection of content: immutable tags and quotas. */
export function createProtectionHandlers(parts: () => ProtectionParts): ProtectionHandlers {
  return {
    'immutability.get': async ({ params, query }) => {
      const { directory } = parts();
      const repository = directory.get(params.repository)?.repository;
      if (repository === undefined) throw new RegistryError('NAME_UNKNOWN', { detail: { ...params } });
      const tag = parseTag(query.get('tag') ?? '');
      // A push to a virtual repository follows the rules of the repository that receives it.
      const target = directory.get(repository.pushTo ?? params.repository)?.repository ?? repository;
      const pattern = immutablePatternOf(target.config, tag) ?? null;
      return jsonReply(200, { repository: target.config.name, tag, immutable: pattern !== null, pattern });
    },
    'quota.list': async () => jsonReply(200, encodeQuotas(await parts().quotas.list())),
    'quota.replace': async ({ caller, req, body }) => {
      const { quotas } = parts();
      await quotas.replace(decodeQuotas(await readDocument({ req, body })), caller.actor);
      return jsonReply(200, encodeQuotas(await quotas.list()));
    },
  };
}
