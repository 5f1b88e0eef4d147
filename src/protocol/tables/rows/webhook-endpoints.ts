import type { Endpoint } from '../route-table.js';

/** Operations of the management API for webhooks. */
export const webhookEndpoints = [
  {
    op: 'webhook.list',
    method: 'GET',
    path: '/api/v1/webhooks',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Lists webhooks with the state of their deliveries, without secrets.',
  },
  {
    op: 'webhook.create',
    method: 'POST',
    path: '/api/v1/webhooks',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Creates a webhook, which gets events from now on: 201; 409 if the name is taken.',
  },
  {
    op: 'webhook.get',
    method: 'GET',
    path: '/api/v1/webhooks/:webhook',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Returns a webhook with the state of its deliveries.',
  },
  {
    op: 'webhook.replace',
    method: 'PUT',
    path: '/api/v1/webhooks/:webhook',
    access: 'admin',
    spec: 'artifactapi',
    summary:
      'Replaces the settings of a webhook, but keeps its secret and headers if they are omitted. Retries at once.',
  },
  {
    op: 'webhook.delete',
    method: 'DELETE',
    path: '/api/v1/webhooks/:webhook',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Deletes a webhook and its log: 204. Waiting events are not sent.',
  },
  {
    op: 'webhook.test',
    method: 'POST',
    path: '/api/v1/webhooks/:webhook/test',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Sends a test event now, and returns the status and the first 1024 bytes of the answer.',
    change: 'webhook.tested',
  },
  {
    op: 'webhook.deliveries',
    method: 'GET',
    path: '/api/v1/webhooks/:webhook/deliveries',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Lists the last 200 deliveries, newest first.',
  },
  {
    op: 'webhook.resend',
    method: 'POST',
    path: '/api/v1/webhooks/:webhook/deliveries/:delivery',
    access: 'admin',
    spec: 'artifactapi',
    summary: 'Sends the event of a delivery again: 202; 409 if the journal no longer has it.',
    change: 'webhook.resent',
  },
] as const satisfies readonly Endpoint[];
