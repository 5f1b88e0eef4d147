import type { Command } from 'commander';
import { CommandError, type CommandIo } from '../../command-io.js';
import type { Document } from '../api-client.js';
import { addClientCommand, addCommandGroup, collect, type Run } from '../client-command.js';
import type { Column } from '../format.js';
import { defined, parseSetting, readDocumentFile, readSecretFile } from '../settings.js';

interface WebhookFlags {
  readonly to?: string;
  readonly format?: string;
  readonly event?: readonly string[];
  readonly name?: readonly string[];
  readonly secretFile?: string;
  readonly set?: readonly string[];
  readonly file?: string;
}

const statusOf = (webhook: Document): Document => webhook['status'] as Document;
const columns: readonly Column[] = [
  ['name', 'name'],
  ['origin', 'origin'],
  ['url', 'url'],
  ['events', 'events', 'list'],
  ['pending', (webhook) => statusOf(webhook)['pending'], 'count'],
  ['failing since', (webhook) => statusOf(webhook)['failing_since_at'], 'time'],
];
const deliveryColumns: readonly Column[] = [
  ['seq', 'seq'],
  ['at', 'at', 'time'],
  ['event', 'event'],
  ['subject', 'subject'],
  ['state', 'state'],
  ['attempts', 'attempts', 'count'],
  ['answer', ({ status, error }) => status ?? error],
];

/** Adds `webhooks` with its commands. */
export function addWebhookCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'webhooks', 'List, create, change, test and delete webhooks');
  addClientCommand(
    group,
    io,
    { usage: 'list', description: 'List the webhooks', examples: ['artifactapi webhooks'], isDefault: true },
    ({ client, output }) => output.list(client.list('webhook.list', 'webhooks'), columns, 'no webhooks'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'show <webhook>',
      description: 'Show a webhook and the state of its deliveries',
      examples: ['artifactapi webhooks show ci'],
    },
    async ({ client, output }, webhook) => {
      const found = await client.request('webhook.get', { params: { webhook } });
      output.document(
        found,
        Object.keys(found).map((field): Column => [field, field]),
      );
    },
  );
  addChanges(group, io);
  addDeliveries(group, io);
}

function addChanges(group: Command, io: CommandIo): void {
  addClientCommand(
    group,
    io,
    {
      usage: 'create <webhook>',
      description: 'Create a webhook',
      examples: ['artifactapi webhooks create ci --to https://ci.example/hook --secret-file ./secret --event push'],
      flags: addWebhookFlags,
    },
    async ({ client, output, flags }: Run<WebhookFlags>, name) => {
      const created = await client.request('webhook.create', { document: { ...(await settingsOf(flags, io)), name } });
      output.done(`created webhook ${name}`, created);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'update <webhook>',
      description: 'Change some settings of a webhook; --file replaces all of them',
      examples: [
        'artifactapi webhooks update ci --secret-file ./new-secret',
        'artifactapi webhooks update ci --set previous_secret=null',
      ],
      flags: addWebhookFlags,
    },
    async ({ client, output, flags }: Run<WebhookFlags>, webhook) => {
      const params = { webhook };
      const settings = await settingsOf(flags, io);
      const before = flags.file === undefined ? await client.request('webhook.get', { params }) : {};
      const updated = await client.request('webhook.replace', { params, document: { ...before, ...settings } });
      output.done(`updated webhook ${webhook}`, updated);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'delete <webhook>',
      description: 'Delete a webhook and its log',
      examples: ['artifactapi webhooks delete ci'],
    },
    async ({ client, output }, webhook) => {
      await client.request('webhook.delete', { params: { webhook } });
      output.done(`deleted webhook ${webhook}`);
    },
  );
}

function addDeliveries(group: Command, io: CommandIo): void {
  addClientCommand(
    group,
    io,
    {
      usage: 'test <webhook>',
      description: 'Send the event "test" now and show the answer; exit status 1 unless it is 2xx',
      summary: 'Send the event "test" now and show the answer',
      examples: ['artifactapi webhooks test ci'],
    },
    async ({ client, output }, webhook) => {
      const result = await client.request('webhook.test', { params: { webhook } });
      output.document(result, [
        ['status', 'status'],
        ['error', 'error'],
        ['duration ms', 'duration_ms'],
        ['answer', 'answer'],
      ]);
      const { status, error } = result;
      if (typeof status !== 'number') throw new CommandError(`webhook ${webhook} did not arrive: ${String(error)}`);
      if (status < 200 || status > 299) throw new CommandError(`webhook ${webhook} was answered with ${status}`);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'deliveries <webhook>',
      description: 'List the last 200 deliveries, newest first',
      examples: ['artifactapi webhooks deliveries ci'],
    },
    ({ client, output }, webhook) =>
      output.list(
        client.list('webhook.deliveries', 'deliveries', { params: { webhook } }),
        deliveryColumns,
        'no deliveries',
      ),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'resend <webhook> <seq>',
      description: 'Send the event of a delivery again',
      examples: ['artifactapi webhooks resend ci 1234'],
    },
    async ({ client, output }, webhook, delivery) => {
      await client.request('webhook.resend', { params: { webhook, delivery } });
      output.done(`sending event ${delivery} again`);
    },
  );
}

function addWebhookFlags(command: Command): void {
  command
    .option('--to <url>', 'URL that receives the events')
    .option('--format <format>', 'distribution or cloudevents')
    .option('--event <event>', 'push, delete, tag, repository, pull or quota; may be repeated', collect)
    .option('--name <pattern>', 'images whose events are sent; may be repeated', collect)
    .option('--secret-file <file>', 'file with the secret that signs; - for standard input')
    .option('--set <name=value>', 'any setting of the API, in snake case; may be repeated', collect)
    .option('--file <file>', 'JSON document with the settings; - for standard input');
}

async function settingsOf(flags: WebhookFlags, io: CommandIo): Promise<Document> {
  const { to: url, format, event: events, name: names, secretFile, set = [], file } = flags;
  const document = file === undefined ? {} : await readDocumentFile(file, io);
  // Not a flag with the secret itself: other users of the machine see the arguments of a process.
  const secret = secretFile === undefined ? undefined : await readSecretFile(secretFile, io);
  return {
    ...document,
    ...defined({ url, format, events, names, secret }),
    ...Object.fromEntries(set.map(parseSetting)),
  };
}
