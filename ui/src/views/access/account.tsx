import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { AccountDocument } from '../../../../src/protocol/documents/access.js';
import { get, send } from '../../api.ts';
import { go, hrefOf } from '../../location.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Facts, Page } from '../../parts/page.tsx';
import { Answered } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { When } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';
import { Tokens } from './tokens.tsx';

/** An account with its tokens. */
export function Account({ name }: { readonly name: string }): VNode {
  const [isAsked, setAsked] = useState(false);
  const path = `accounts/${name}`;
  const account = useAnswer((signal) => get<AccountDocument>(path, {}, signal), [name]);
  const plain = decodeURIComponent(name);
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
          <button type="button" class="danger" onClick={() => setAsked(true)}>
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
              [
                'Access',
                <span key="access">
                  <a href={hrefOf('/access/check', { user: value.name, groups: value.groups.join(' ') })}>
                    permissions
                  </a>
                  , by the <a href={hrefOf('/access/rules')}>rules</a>
                </span>,
              ],
            ]}
          />
        )}
      </Answered>
      <Tokens account={plain} path={`${path}/tokens`} />
      {isAsked ? <DeleteAccount name={plain} path={path} onClose={() => setAsked(false)} /> : undefined}
    </Page>
  );
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
          <p>{isDisabled ? 'Its tokens work again.' : 'Its tokens stop working at once, but are not deleted.'}</p>
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
