import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { AccountDocument } from '../../../../src/protocol/documents/access.js';
import type { ViewProps } from '../../app.tsx';
import { get, send } from '../../api.ts';
import { compareNaturally } from '../../format.ts';
import { go, hrefOf } from '../../location.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { TextField } from '../../parts/field.tsx';
import { Page, Tabs } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { When } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';
import { AccessCheck } from './access-check.tsx';
import { AccessRules, wordsOf } from './access-rules.tsx';
import { Account } from './account.tsx';
import { People } from './people.tsx';
import { Sessions } from './sessions.tsx';

const tabs = [
  { key: 'accounts', title: 'Accounts', href: '#/access' },
  { key: 'people', title: 'People', href: '#/access/people' },
  { key: 'rules', title: 'Rules', href: '#/access/rules' },
  { key: 'sessions', title: 'Sessions', href: '#/access/sessions' },
  { key: 'check', title: 'Check access', href: '#/access/check' },
] as const;

/** Access control: accounts with their tokens, people, rules, sessions, and a check of what they allow a user. */
export function Access({ rest: [tab = 'accounts', name], query }: ViewProps): VNode {
  if (tab === 'accounts' && name !== undefined) return <Account name={name} />;
  return (
    <Page title="Access">
      <Tabs label="Access control" tabs={tabs} current={tab} />
      {tab === 'people' ? (
        <People />
      ) : tab === 'rules' ? (
        <AccessRules />
      ) : tab === 'sessions' ? (
        <Sessions />
      ) : tab === 'check' ? (
        <AccessCheck query={query} />
      ) : (
        <Accounts />
      )}
    </Page>
  );
}

function Accounts(): VNode {
  const [isCreating, setCreating] = useState(false);
  const answer = useAnswer(
    (signal) => get<{ readonly accounts: readonly AccountDocument[] }>('accounts', {}, signal),
    [],
  );
  return (
    <>
      <div class="tools">
        <button type="button" class="primary" onClick={() => setCreating(true)}>
          New account
        </button>
      </div>
      <Answered answer={answer} what="The accounts could not be read">
        {({ accounts }) =>
          accounts.length === 0 ? (
            <Empty>There are no accounts. Programs log in with the tokens of an account.</Empty>
          ) : (
            <Table caption="Accounts" rows={accounts} columns={columns} keyOf={({ name }) => name} />
          )
        }
      </Answered>
      {isCreating ? <NewAccount onClose={() => setCreating(false)} /> : undefined}
    </>
  );
}

const columns: readonly Column<AccountDocument>[] = [
  {
    key: 'name',
    title: 'Account',
    compare: (one, other) => compareNaturally(one.name, other.name),
    cell: ({ name, disabled: isDisabled }) => (
      <>
        <a href={hrefOf(`/access/accounts/${encodeURIComponent(name)}`)}>{name}</a>{' '}
        {isDisabled ? <span class="badge bad">disabled</span> : undefined}
      </>
    ),
  },
  { key: 'groups', title: 'Groups', isText: true, cell: ({ groups }) => groups.join(', ') },
  { key: 'description', title: 'Description', isWide: true, isText: true, cell: ({ description }) => description },
  { key: 'created', title: 'Created', isWide: true, cell: (account) => <When at={account.created_at} /> },
];

function NewAccount({ onClose }: { readonly onClose: () => void }): VNode {
  const [name, setName] = useState('');
  const [groups, setGroups] = useState('');
  const [description, setDescription] = useState('');
  const create = async (): Promise<void> => {
    await send('POST', 'accounts', { name, groups: wordsOf(groups), description });
    announce(`Created ${name}`);
    onClose();
    go(`/access/accounts/${encodeURIComponent(name)}`);
  };
  return (
    <DialogForm
      title="New account"
      submit="Create"
      what="The account could not be created"
      isReady={name !== ''}
      onSubmit={create}
      onClose={onClose}
    >
      <TextField label="Name" value={name} onInput={setName} required />
      <TextField label="Groups" value={groups} onInput={setGroups} help="Separated by spaces" />
      <TextField label="Description" value={description} onInput={setDescription} />
    </DialogForm>
  );
}
