import type { Command } from 'commander';
import type { CommandIo } from '../../command-io.js';
import { addClientCommand, addCommandGroup } from '../client-command.js';
import type { Column } from '../format.js';

const personColumns: readonly Column[] = [
  ['name', 'name'],
  ['source', 'source'],
  ['groups', 'groups', 'list'],
  ['tokens', 'tokens'],
  ['disabled', 'disabled', 'flag'],
  ['last login', 'last_login_at', 'time'],
];

/** Adds `people`: everyone who can log in, and those whom an OIDC provider or the host application knows. */
export function addPeopleCommands(program: Command, io: CommandIo): void {
  const group = addCommandGroup(program, 'people', 'List everyone who can log in, and keep some of them out');
  addClientCommand(
    group,
    io,
    {
      usage: 'list',
      description:
        'List accounts, users of the htpasswd file, and users that a login provider or the application has reported',
      examples: ['artifactapi people', 'artifactapi people list --json'],
      isDefault: true,
    },
    ({ client, output }) => output.list(client.list('person.list', 'people'), personColumns, 'no one can log in'),
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'disable <person>',
      description: 'Disable a user: sessions end, and tokens stop working',
      examples: ['artifactapi people disable ana@example.com'],
    },
    async ({ client, output }, person) => {
      const document = { disabled: true };
      output.done(`disabled ${person}`, await client.request('person.replace', { params: { person }, document }));
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'enable <person>',
      description: 'Enable a disabled user: tokens work again',
      examples: ['artifactapi people enable ana@example.com'],
    },
    async ({ client, output }, person) => {
      const document = { disabled: false };
      output.done(`enabled ${person}`, await client.request('person.replace', { params: { person }, document }));
    },
  );
  addClientCommand(
    group,
    io,
    {
      usage: 'remove <person>',
      description: 'Remove a user with all tokens and sessions',
      examples: ['artifactapi people remove ana@example.com'],
    },
    async ({ client, output }, person) => {
      await client.request('person.delete', { params: { person } });
      output.done(`removed ${person}, with all tokens and sessions`);
    },
  );
}
