import type { Syncs } from '../../../ports/operations/syncs.js';
import type { ManagementOp, ManagementParams } from '../../../protocol/tables/management.js';
import { decodeSync, encodeSync, syncNotFound } from '../../../protocol/tables/documents/sync-documents.js';
import { readDocument } from '../../bodies/document.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';

type SyncOp = Extract<ManagementOp, `sync.${string}`>;
type SyncHandlers = { readonly [O in SyncOp]: Handler<ManagementParams<O>> };

/** Creates the handlers of syncs. */
export function createSyncHandlers(syncs: () => Syncs): SyncHandlers {
  return {
    'sync.list': async () => jsonReply(200, { syncs: (await syncs().list()).map(encodeSync) }),
    'sync.create': async ({ caller, req, body, path }) => {
      const record = await syncs().create(decodeSync(await readDocument({ req, body })), caller.actor);
      return jsonReply(201, encodeSync(record), { Location: `${path}/${record.config.name}` });
    },
    'sync.get': async ({ params }) => jsonReply(200, encodeSync(known(params.sync, await syncs().get(params.sync)))),
    'sync.replace': async ({ caller, req, body, params }) => {
      const config = decodeSync(await readDocument({ req, body }), params.sync);
      return jsonReply(200, encodeSync(known(params.sync, await syncs().replace(config, caller.actor))));
    },
    'sync.delete': async ({ caller, params }) => {
      if (!(await syncs().delete(params.sync, caller.actor))) throw syncNotFound(params.sync);
      return { status: 204 };
    },
  };
}

/** @throws RegistryError NOT_FOUND for an unknown sync. */
function known<T>(name: string, found: T | undefined): T {
  if (found === undefined) throw syncNotFound(name);
  return found;
}
