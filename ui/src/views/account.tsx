import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { AccountDocument, AccountTokenDocument } from '../../../src/protocol/documents/access.js';
import { get, send } from '../api.ts';
import { go } from '../location.ts';
import { DialogForm } from '../parts/dialog.tsx';
import { Facts, Page, Section } from '../parts/page.tsx';
import { Answered, Empty } from '../parts/problem.tsx';
import { announce } from '../parts/status.tsx';
import { Table, type Column } from '../parts/table.tsx';
import { When } from '../parts/texts.tsx';
import { useAnswer } from '../use-answer.ts';
import { describeLimits, NewToken } from './new-token.tsx';

type Asked = 'token' | 'delete' | AccountTokenDocument;

/** An account with its tokens. */
export function Account({ name }: { readonly name: string }): VNode {
  const [asked, ask] = useState<Asked | undefined>(undefined);
  const path = `accounts/${name}`;
  const account = useAnswer((signal) => get<AccountDocument>(path, {}, signal), [name]);
  const tokens = useAnswer(
    (signal) => get<{ readonly tokens: readonly AccountTokenDocument[] }>(`${path}/tokens`, {}, signal),
    [name],
  );
  const plain = decodeURIComponent(name);
  const onClose = (): void => ask(undefined);
  return (
    <Page
      title={`Account ${plain}`}
      heading={
        <span class="crumbs">
          <a href="#/access">Access</a> / {plain}
        </span>
      }
      actions={
        <>
          {account.value === undefined ? undefined : <Toggle account={account.value} onDone={account.reload} />}
          <button type="button" class="danger" onClick={() => ask('delete')}>
            Delete
          </button>
        </>
      }
    >
      <Answered answer={account} what="The account could not be read">
        {(value) => (
          <Facts
            facts={[
              [
                'State',
                value.disabled ? <span class="badge bad">disabled</span> : <span class="badge good">enabled</span>,
              ],
              ['Groups', value.groups.join(', ')],
              ['Description', value.description],
              ['Created', <When key="created" at={value.created_at} />],
            ]}
          />
        )}
      </Answered>
      <Section
        title="Tokens"
        actions={
          <button type="button" class="primary" onClick={() => ask('token')}>
            New token
          </button>
        }
      >
        <Answered answer={tokens} what="The tokens could not be read">
          {({ tokens: items }) =>
            items.length === 0 ? (
              <Empty>There are no tokens. A token is the password with which a program logs in.</Empty>
            ) : (
              <Table caption="Tokens" rows={items} columns={columnsOf(ask)} keyOf={({ id }) => id} />
            )
          }
        </Answered>
      </Section>
      {asked === 'token' ? <NewToken account={plain} onClose={onClose} onDone={tokens.reload} /> : undefined}
      {asked === 'delete' ? <DeleteAccount name={plain} path={path} onClose={onClose} /> : undefined}
      {typeof asked === 'object' ? (
        <RevokeToken token={asked} path={path} onClose={onClose} onDone={tokens.reload} />
      ) : undefined}
    </Page>
  );
}

function columnsOf(ask: (token: AccountTokenDocument) => void): readonly Column<AccountTokenDocument>[] {
  return [
    {
      key: 'id',
      title: 'Token',
      cell: ({ id, description }) => (description === '' ? <code>{id}</code> : description),
    },
    { key: 'limits', title: 'Allows', isWide: true, isText: true, cell: ({ limits }) => describeLimits(limits) },
    { key: 'created', title: 'Created', isWide: true, cell: (token) => <When at={token.created_at} /> },
    { key: 'expires', title: 'Expires', isText: true, cell: (token) => <When at={token.expires_at} /> },
    {
      key: 'revoke',
      title: 'Action',
      isText: true,
      cell: (token) => (
        <button type="button" aria-label={`Revoke ${token.description || token.id}`} onClick={() => ask(token)}>
          Revoke
        </button>
      ),
    },
  ];
}

function Toggle({ account, onDone }: { readonly account: AccountDocument; readonly onDone: () => void }): VNode {
  const [isAsked, setAsked] = useState(false);
  const { name, disabled: isDisabled } = account;
  const word = isDisabled ? 'Enable' : 'Disable';
  const change = async (): Promise<void> => {
    await send('PUT', `accounts/${encodeURIComponent(name)}`, { ...account, disabled: !isDisabled });
    announce(`${word}d ${name}`);
    setAsked(false);
    onDone();
  };
  return (
    <>
      <button type="button" onClick={() => setAsked(true)}>
        {word}
      </button>
      {isAsked ? (
        <DialogForm
          title={`${word} ${name}?`}
          submit={word}
          what="The account could not be changed"
          isDangerous={!isDisabled}
          onSubmit={change}
          onClose={() => setAsked(false)}
        >
          <p>
            {isDisabled ? 'Its tokens work again.' : 'Its tokens stop working with the next request. None is deleted.'}
          </p>
        </DialogForm>
      ) : undefined}
    </>
  );
}

function DeleteAccount({
  name,
  path,
  onClose,
}: {
  readonly name: string;
  readonly path: string;
  readonly onClose: () => void;
}): VNode {
  const remove = async (): Promise<void> => {
    await send('DELETE', path);
    announce(`Deleted ${name}`);
    go('/access');
  };
  return (
    <DialogForm
      title={`Delete ${name}?`}
      submit="Delete"
      what="The account could not be deleted"
      isDangerous
      onSubmit={remove}
      onClose={onClose}
    >
      <p>All of its tokens are revoked.</p>
    </DialogForm>
  );
}

function RevokeToken({
  token: { id, description },
  path,
  onClose,
  onDone,
}: {
  readonly token: AccountTokenDocument;
  readonly path: string;
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const revoke = async (): Promise<void> => {
    await send('DELETE', `${path}/tokens/${id}`);
    announce('Revoked the token');
    onClose();
    onDone();
  };
  return (
    <DialogForm
      title={`Revoke ${description || id}?`}
      submit="Revoke"
      what="The token could not be revoked"
      isDangerous
      onSubmit={revoke}
      onClose={onClose}
    >
      <p>Programs that use the token are refused with their next request.</p>
    </DialogForm>
  );
}
