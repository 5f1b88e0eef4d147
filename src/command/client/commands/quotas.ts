import type { Command } from 'commander';
import { CommandError, type CommandIo } from '../../command-io.js';
import { canonicalNames } from '../../../protocol/settings/quota-config.js';
import type { ApiClient, Document } from '../api-client.js';
import { addClientCommand, addCommandGroup } from '../client-command.js';
import type { Column } from '../format.js';
import { parseBytes } from '../settings.js';

const quotaColumns: readonly Column[] = [
  ['quota', 'name'],
  ['used', 'used_bytes', 'bytes'],
  ['of', 'max_bytes', 'bytes'],
  ['origin', 'origin'],
];

/** Adds the commands for quotas. */
export function addQuotaCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'quotas', 'List, set and delete quotas, which limit the size of images');
  addClientCommand(
    group,
    io,
    {
      usage: 'list',
      description: 'List the quotas and how much of each is used',
      examples: ['artifactapi quotas', 'artifactapi quotas list --json'],
      isDefault: true,
    },
    ({ client, output }) => output.list(client.list('quota.list', 'quotas'), quotaColumns, 'no quotas'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'set <names> <size>',
      description: 'Set the quota of images by a pattern, or by several separated by commas',
      examples: [
        "artifactapi quotas set 'docker-internal/team-a/**' 50GiB",
        'artifactapi quotas set docker-internal 1TB',
      ],
    },
    async ({ client, output }, names, size) => {
      const quota = { names: names.split(','), max_bytes: parseBytes('<size>', size) };
      const others = (await readQuotas(client)).filter((other) => !isFor(other, names));
      const changed = await client.request('quota.replace', { document: { quotas: [...others, quota] } });
      output.done(`set the quota of ${names}`, changed);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'delete <names>',
      description: 'Delete the quota of these patterns',
      examples: ["artifactapi quotas delete 'docker-internal/team-a/**'"],
    },
    async ({ client, output }, names) => {
      const quotas = await readQuotas(client);
      const others = quotas.filter((quota) => !isFor(quota, names));
      if (others.length === quotas.length) throw new CommandError(`no managed quota for "${names}"`);
      await client.request('quota.replace', { document: { quotas: others } });
      output.done(`deleted the quota of ${names}`);
    },
  );
}

async function readQuotas(client: ApiClient): Promise<readonly Document[]> {
  const { quotas } = await client.request('quota.list');
  return quotas as readonly Document[];
}

/** Returns whether a managed quota is for exactly these patterns. */
function isFor({ origin, names }: Document, given: string): boolean {
  const key = (patterns: readonly string[]): string => canonicalNames(patterns).join(',');
  return origin === 'managed' && key(names as readonly string[]) === key(given.split(','));
}
