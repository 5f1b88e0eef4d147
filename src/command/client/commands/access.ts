import type { Command } from 'commander';
import { usageError, type CommandIo } from '../../command-io.js';
import { addClientCommand, addCommandGroup, collect, type Run } from '../client-command.js';
import type { Column } from '../format.js';
import { defined, parseSeconds } from '../settings.js';

interface AccountFlags {
  readonly group?: readonly string[];
  /** False for `--no-groups`. */
  readonly groups?: boolean;
  readonly description?: string;
  readonly disable?: true;
  readonly enable?: true;
}

interface TokenFlags {
  readonly description?: string;
  readonly expiresIn?: string;
  readonly allow?: string;
  readonly names?: readonly string[];
}

const accountColumns: readonly Column[] = [
  ['name', 'name'],
  ['groups', 'groups', 'list'],
  ['disabled', 'disabled', 'flag'],
  ['description', 'description'],
  ['created', 'created_at', 'time'],
];

const tokenColumns: readonly Column[] = [
  ['id', 'id'],
  ['description', 'description'],
  ['limits', 'limits', 'list'],
  ['created', 'created_at', 'time'],
  ['expires', 'expires_at', 'time'],
];

const keyColumns: readonly Column[] = [
  ['id', 'id'],
  ['origin', 'origin'],
  ['signs', 'signs', 'flag'],
  ['created', 'created_at', 'time'],
];

/** Adds the commands for users, which are the accounts of the API, for their tokens, and for signing keys. */
export function addAccessCommands(program: Command, io: CommandIo): void {
  addUserCommands(program, io);
  addTokenCommands(program, io);
  addKeyCommands(program, io);
}

function addUserCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'users', 'List, create, change and delete accounts, which log in with tokens');
  addClientCommand(
    group,
    io,
    {
      usage: 'list',
      description: 'List the accounts',
      examples: ['artifactapi users', 'artifactapi users list --json'],
      isDefault: true,
    },
    ({ client, output }) => output.list(client.list('account.list', 'accounts'), accountColumns, 'no accounts'),
  );
  addClientCommand(
    group,
    io,
    { usage: 'show <user>', description: 'Show an account', examples: ['artifactapi users show ci'] },
    async ({ client, output }, account) =>
      output.document(await client.request('account.get', { params: { account } }), accountColumns),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'create <user>',
      description: 'Create an account; "artifactapi tokens create" gives it a token to log in with',
      examples: ['artifactapi users create ci --group builders --description "the build server"'],
      flags: addAccountFlags,
    },
    async ({ client, output, flags }: Run<AccountFlags>, name) => {
      const created = await client.request('account.create', { document: { ...settingsOf(flags), name } });
      output.done(`created user ${name}`, created);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'update <user>',
      description: 'Change an account; --disable ends its logins at once',
      examples: [
        'artifactapi users update ci --disable',
        'artifactapi users update ci --group builders --group release',
      ],
      flags: (command) => {
        addAccountFlags(command);
        command.option('--enable', 'enable the account').option('--no-groups', 'remove it from all groups');
      },
    },
    async ({ client, output, flags }: Run<AccountFlags>, account) => {
      const settings = settingsOf(flags);
      const before = await client.request('account.get', { params: { account } });
      const document = { ...before, ...settings };
      const updated = await client.request('account.replace', { params: { account }, document });
      output.done(`updated user ${account}`, updated);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'delete <user>',
      description: 'Delete an account and revoke its tokens',
      examples: ['artifactapi users delete ci'],
    },
    async ({ client, output }, account) => {
      await client.request('account.delete', { params: { account } });
      output.done(`deleted user ${account} and its tokens`);
    },
  );
}

function addAccountFlags(command: Command): void {
  command
    .option('--group <group>', 'group of the account; may be repeated', collect)
    .option('--description <text>', 'description')
    .option('--disable', 'disable the account');
}

function settingsOf({ group, groups, description, disable, enable }: AccountFlags): object {
  if (disable === true && enable === true) throw usageError('--disable and --enable exclude each other');
  const withoutGroups = groups === false;
  if (withoutGroups && group !== undefined) throw usageError('--group and --no-groups exclude each other');
  return defined({
    groups: withoutGroups ? [] : group,
    description,
    disabled: disable === true ? true : enable === true ? false : undefined,
  });
}

function addTokenCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'tokens', 'List, create and revoke the tokens of accounts');
  addClientCommand(
    group,
    io,
    {
      usage: 'list <user>',
      description: 'List the tokens of an account, without their secrets',
      examples: ['artifactapi tokens list ci'],
      isDefault: true,
    },
    ({ client, output }, account) =>
      output.list(client.list('account.tokens', 'tokens', { params: { account } }), tokenColumns, 'no tokens'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'create <user>',
      description: 'Create a token and print it; it is not shown again',
      examples: [
        'artifactapi tokens create ci --expires-in 90d',
        "artifactapi tokens create ci --allow pull --names 'docker/**' --json | jq -r .token",
      ],
      flags: (command) => {
        command
          .option('--description <text>', 'description')
          .option('--expires-in <duration>', 'lifetime, such as 90d or 12h (default: it never expires)')
          .option('--allow <permissions>', 'limit the token to these permissions: pull,push')
          .option('--names <pattern>', 'limit the token to these images; may be repeated', collect);
      },
    },
    async ({ client, output, flags }: Run<TokenFlags>, account) => {
      const document = tokenSettingsOf(flags);
      const created = await client.request('account.createToken', { params: { account }, document });
      output.document(created, [['token', 'token'], ...tokenColumns]);
      output.note('the token is not shown again');
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'delete <user> <id>',
      description: 'Revoke a token',
      examples: ['artifactapi tokens delete ci 0123456789abcdef'],
    },
    async ({ client, output }, account, token) => {
      await client.request('account.deleteToken', { params: { account, token } });
      output.done(`revoked token ${token} of ${account}`);
    },
  );
}

function tokenSettingsOf({ description, expiresIn, allow, names }: TokenFlags): object {
  if (names !== undefined && allow === undefined) throw usageError('--names requires --allow');
  return defined({
    description,
    expires_in_seconds: expiresIn === undefined ? undefined : parseSeconds('--expires-in', expiresIn),
    limits: allow === undefined ? undefined : [defined({ names, allow: allow.split(',') })],
  });
}

function addKeyCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'keys', 'List and rotate the keys that sign access tokens');
  addClientCommand(
    group,
    io,
    { usage: 'list', description: 'List the signing keys', examples: ['artifactapi keys'], isDefault: true },
    ({ client, output }) => output.list(client.list('key.list', 'keys'), keyColumns, 'no signing keys'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'rotate',
      description: 'Create a new signing key; tokens of the old one stay valid until they expire',
      examples: ['artifactapi keys rotate'],
    },
    async ({ client, output }) => output.document(await client.request('key.rotate'), keyColumns),
  );
}
