import type { Command } from 'commander';
import { CommandError, usageError, type CommandIo } from '../../command-io.js';
import type { FindingDocument } from '../../../protocol/documents/access.js';
import { permissions, type Permission } from '../../../protocol/settings/access-config.js';
import type { Document } from '../api-client.js';
import { addClientCommand, addCommandGroup, collect, type Run } from '../client-command.js';
import type { Column } from '../format.js';
import { defined, readDocumentFile } from '../settings.js';

interface RuleFlags {
  readonly allow?: string;
  readonly names?: readonly string[];
  readonly forUser?: readonly string[];
  readonly forGroup?: readonly string[];
  readonly forAuthenticated?: true;
  readonly forEveryone?: true;
  readonly file?: string;
}

const ruleColumns: readonly Column[] = [
  ['id', 'id'],
  ['origin', 'origin'],
  ['names', 'names', 'list'],
  ['for', describePeople, 'list'],
  ['allow', 'allow', 'list'],
];

const findingColumns: readonly Column[] = [
  ['permission', 'permission'],
  ['allowed', 'allowed', 'flag'],
  ['by rule', 'by', 'list'],
  ['would need', describeNeed],
];

/** Adds the commands for access rules: `rules` and `can`. */
export function addRuleCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'rules', 'List, create, change and delete access rules');
  addClientCommand(
    group,
    io,
    {
      usage: 'list',
      description: 'List the access rules, declared ones first',
      examples: ['artifactapi rules'],
      isDefault: true,
    },
    ({ client, output }) => output.list(client.list('rule.list', 'rules'), ruleColumns, 'no rules: no one has access'),
  );
  addClientCommand(
    group,
    io,
    { usage: 'show <id>', description: 'Show a rule', examples: ['artifactapi rules show declared-1'] },
    async ({ client, output }, rule) =>
      output.document(await client.request('rule.get', { params: { rule } }), ruleColumns),
  );
  addRuleChanges(group, io);
  addCan(program, io);
}

function addRuleChanges(group: Command, io: CommandIo): void {
  addClientCommand(
    group,
    io,
    {
      usage: 'create',
      description: 'Create a rule',
      examples: [
        "artifactapi rules create --names 'docker/**' --for-group team --allow pull,push",
        'artifactapi rules create --for-user root --allow admin',
      ],
      flags: addRuleFlags,
    },
    async ({ client, output, flags }: Run<RuleFlags>) => {
      const created = await client.request('rule.create', { document: await ruleOf(flags, io) });
      output.done(`created rule ${String(created['id'])}`, created);
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'update <id>',
      description: 'Change some fields of a rule; --file replaces all of them',
      examples: ['artifactapi rules update 0f3c2a --allow pull'],
      flags: addRuleFlags,
    },
    async ({ client, output, flags }: Run<RuleFlags>, rule) => {
      const params = { rule };
      const changes = await ruleOf(flags, io);
      const before = flags.file === undefined ? await client.request('rule.get', { params }) : {};
      const document = { ...before, ...changes };
      const updated = await client.request('rule.replace', { params, document });
      output.done(`updated rule ${rule}`, updated);
    },
  );
  addClientCommand(
    group,
    io,
    { usage: 'delete <id>', description: 'Delete a rule', examples: ['artifactapi rules delete 0f3c2a'] },
    async ({ client, output }, rule) => {
      await client.request('rule.delete', { params: { rule } });
      output.done(`deleted rule ${rule}`);
    },
  );
}

function addRuleFlags(command: Command): void {
  command
    .option(
      '--names <pattern>',
      'images: a pattern of <repository>/<image>; may be repeated (default: everything)',
      collect,
    )
    .option('--for-user <user>', 'user that the rule applies to; may be repeated', collect)
    .option('--for-group <group>', 'group that the rule applies to; may be repeated', collect)
    .option('--for-authenticated', 'everyone who is logged in')
    .option('--for-everyone', 'everyone, logged in or not')
    .option('--allow <permissions>', `what the rule allows, separated by commas: ${permissions.join(',')}`)
    .option('--file <file>', 'JSON document of the rule; - for standard input');
}

async function ruleOf(flags: RuleFlags, io: CommandIo): Promise<Document> {
  const { names, forUser, forGroup, forAuthenticated, forEveryone, allow, file } = flags;
  const document = file === undefined ? {} : await readDocumentFile(file, io);
  const given = defined({
    names,
    users: forUser,
    groups: forGroup,
    authenticated: forAuthenticated,
    anonymous: forEveryone,
    allow: allow?.split(','),
  });
  return { ...document, ...given };
}

function addCan(program: Command, io: CommandIo): void {
  addClientCommand(
    program,
    io,
    {
      usage: 'can <user> [permission] [image]',
      summary: 'Check what the rules allow a user',
      description:
        'Check what the rules allow a user; "anonymous" is everyone who did not log in. With a permission, exits with 1 if it is denied',
      examples: [
        'artifactapi can ana push docker/team/app',
        'artifactapi can ana docker/team/app',
        'artifactapi can anonymous pull docker/library/alpine',
        'artifactapi can root admin',
      ],
      flags: (command) =>
        void command.option('--group <group>', 'group that the registry does not know about; may be repeated', collect),
    },
    async ({ client, output, flags }: Run<{ readonly group?: readonly string[] }>, user, ...rest) => {
      const { permission, image } = splitQuestion(rest);
      const person = user === 'anonymous' ? { anonymous: true } : { user, groups: flags.group ?? [] };
      const report = await client.request('access.check', { query: { ...person, image, permission } });
      if (output.isJson) output.document(report, []);
      else await output.list(findingsOf(report), findingColumns, '');
      const finding = permission === undefined ? undefined : (report[permission] as FindingDocument);
      if (finding?.allowed === false) {
        const where = image === undefined ? 'the registry' : image;
        throw new CommandError(`${user} may not ${String(permission)}: ${where}`);
      }
    },
  );
}

/** The permission may be left out, so the second argument may be the image. */
function splitQuestion(rest: readonly (string | undefined)[]): { permission?: Permission; image?: string | undefined } {
  const [first, second] = rest;
  const permission = permissions.find((one) => one === first);
  if (permission !== undefined) return { permission, image: second };
  if (second !== undefined)
    throw usageError(`invalid permission "${String(first)}": write one of ${permissions.join(', ')}`);
  return { image: first };
}

function findingsOf(report: Document): readonly Document[] {
  const found = permissions.filter((permission) => report[permission] !== undefined);
  return found.map((permission) => ({ permission, ...(report[permission] as Document) }));
}

function describeNeed(document: Document): string | undefined {
  const need = document['would_need'] as FindingDocument['would_need'];
  if (need === undefined) return undefined;
  const ways = [
    need.enabled_account === true ? 'an enabled account' : undefined,
    need.login === true ? 'a login' : undefined,
    need.groups === undefined ? undefined : `group ${need.groups.join(' or ')}`,
    need.rule === undefined ? undefined : `rule ${JSON.stringify(need.rule)}`,
  ];
  return ways.filter((way) => way !== undefined).join(', or ');
}

function describePeople({ users, groups, authenticated, anonymous }: Document): readonly string[] {
  return [
    ...((users ?? []) as readonly string[]),
    ...((groups ?? []) as readonly string[]).map((group) => `group:${group}`),
    ...(authenticated === true ? ['authenticated'] : []),
    ...(anonymous === true ? ['everyone'] : []),
  ];
}
