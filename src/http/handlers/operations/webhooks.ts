import type { Webhooks } from '../../../ports/operations/webhooks.js';
import { encodeDocument } from '../../../protocol/tables/documents/encoding.js';
import type { ManagementOp, ManagementParams } from '../../../protocol/tables/management.js';
import {
  decodeWebhook,
  deliveryNotFound,
  encodeWebhook,
  webhookNotFound,
} from '../../../protocol/tables/documents/webhook-documents.js';
import { readDocument } from '../../bodies/document.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';

type WebhookOp = Extract<ManagementOp, `webhook.${string}`>;
type WebhookHandlers = { readonly [O in WebhookOp]: Handler<ManagementParams<O>> };

/** Creates the handlers of webhooks. */
export function createWebhookHandlers(webhooks: () => Webhooks): WebhookHandlers {
  return {
    'webhook.list': async () => jsonReply(200, { webhooks: (await webhooks().list()).map(encodeWebhook) }),
    'webhook.create': async ({ caller, req, body, path }) => {
      const record = await webhooks().create(decodeWebhook(await readDocument({ req, body })), caller.actor);
      return jsonReply(201, encodeWebhook(record), { Location: `${path}/${record.config.name}` });
    },
    'webhook.get': async ({ params: { webhook } }) =>
      jsonReply(200, encodeWebhook(known(webhook, await webhooks().get(webhook)))),
    'webhook.replace': async ({ caller, req, body, params: { webhook: name } }) => {
      const document = await readDocument({ req, body });
      const before = (await webhooks().get(name))?.config;
      const config = decodeWebhook(document, { name, before });
      return jsonReply(200, encodeWebhook(known(name, await webhooks().replace(config, caller.actor))));
    },
    'webhook.delete': async ({ caller, params: { webhook } }) => {
      if (!(await webhooks().delete(webhook, caller.actor))) throw webhookNotFound(webhook);
      return { status: 204 };
    },
    'webhook.test': async ({ caller, params: { webhook } }) =>
      jsonReply(200, encodeDocument(known(webhook, await webhooks().test(webhook, caller.actor)))),
    'webhook.deliveries': async ({ params: { webhook } }) => {
      const deliveries = known(webhook, await webhooks().deliveries(webhook));
      return jsonReply(200, { deliveries: deliveries.map(encodeDocument) }, { 'Cache-Control': 'no-store' });
    },
    'webhook.resend': async ({ params: { webhook, delivery } }) => {
      known(webhook, await webhooks().get(webhook));
      if (!(await webhooks().resend(webhook, delivery))) throw deliveryNotFound(String(delivery));
      return { status: 202 };
    },
  };
}

/** @throws RegistryError NOT_FOUND for an unknown webhook. */
function known<T>(name: string, found: T | undefined): T {
  if (found === undefined) throw webhookNotFound(name);
  return found;
}
