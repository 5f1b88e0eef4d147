import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { AccountTokenDocument } from '../../../../src/protocol/documents/access.js';
import { get, send } from '../../api.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Section } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { When } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';
import { describeLimits, NewToken } from './new-token.tsx';

/**
 * The tokens of an account or of the user of the page.
 * @param account the user name for docker login
 * @param path the path of the tokens in the API
 */
export function Tokens({ account, path }: { readonly account: string; readonly path: string }): VNode {
  const [asked, ask] = useState<'token' | AccountTokenDocument | undefined>(undefined);
  const tokens = useAnswer(
    (signal) => get<{ readonly tokens: readonly AccountTokenDocument[] }>(path, {}, signal),
    [path],
  );
  const onClose = (): void => ask(undefined);
  return (
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
            <Empty>There are no tokens. A program uses a token as its password.</Empty>
          ) : (
            <Table caption="Tokens" rows={items} columns={columnsOf(ask)} keyOf={({ id }) => id} />
          )
        }
      </Answered>
      {asked === 'token' ? (
        <NewToken account={account} path={path} onClose={onClose} onDone={tokens.reload} />
      ) : undefined}
      {typeof asked === 'object' ? (
        <RevokeToken token={asked} path={path} onClose={onClose} onDone={tokens.reload} />
      ) : undefined}
    </Section>
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
    await send('DELETE', `${path}/${id}`);
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
      <p>The next request of any program that uses the token is refused.</p>
    </DialogForm>
  );
}
