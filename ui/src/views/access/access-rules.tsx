import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { RuleDocument } from '../../../../src/protocol/documents/access.js';
import { get, send } from '../../api.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { CheckField, SelectField, TextField } from '../../parts/field.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { useAnswer } from '../../use-answer.ts';

const permissions = ['pull', 'push', 'delete', 'monitor', 'admin'] as const;

/** Splits names that are separated by spaces or commas. */
export function wordsOf(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}

/** Returns in words to whom a rule applies. */
export function describePeople({ users = [], groups = [], anonymous, authenticated }: Partial<RuleDocument>): string {
  return [
    ...(anonymous === true ? ['everyone'] : []),
    ...(authenticated === true ? ['everyone who is logged in'] : []),
    ...users,
    ...groups.map((group) => `group ${group}`),
  ].join(', ');
}

/** The access rules: declared ones, which only the options change, and managed ones. */
export function AccessRules(): VNode {
  const [asked, ask] = useState<'new' | RuleDocument | undefined>(undefined);
  const answer = useAnswer((signal) => get<{ readonly rules: readonly RuleDocument[] }>('rules', {}, signal), []);
  const onClose = (): void => ask(undefined);
  return (
    <>
      <div class="tools">
        <button type="button" class="primary" onClick={() => ask('new')}>
          New rule
        </button>
        <span class="faint">Access is denied unless a rule allows it.</span>
      </div>
      <Answered answer={answer} what="The rules could not be read">
        {({ rules }) =>
          rules.length === 0 ? (
            <Empty>There are no rules.</Empty>
          ) : (
            <Table caption="Rules" rows={rules} columns={columnsOf(ask)} keyOf={({ id }) => id} />
          )
        }
      </Answered>
      {asked === 'new' ? <NewRule onClose={onClose} onDone={answer.reload} /> : undefined}
      {typeof asked === 'object' ? <DeleteRule rule={asked} onClose={onClose} onDone={answer.reload} /> : undefined}
    </>
  );
}

function columnsOf(ask: (rule: RuleDocument) => void): readonly Column<RuleDocument>[] {
  return [
    { key: 'who', title: 'Who', cell: describePeople },
    { key: 'allow', title: 'May', isText: true, cell: ({ allow }) => allow.join(', ') },
    { key: 'names', title: 'Images', isText: true, cell: ({ names }) => names?.join(', ') ?? 'everything' },
    { key: 'id', title: 'Rule', isWide: true, cell: ({ id }) => <code>{id}</code> },
    {
      key: 'delete',
      title: 'Action',
      isText: true,
      cell: (rule) =>
        rule.origin === 'declared' ? (
          <span class="badge">declared</span>
        ) : (
          <button type="button" aria-label={`Delete rule ${rule.id}`} onClick={() => ask(rule)}>
            Delete
          </button>
        ),
    },
  ];
}

function NewRule({ onClose, onDone }: { readonly onClose: () => void; readonly onDone: () => void }): VNode {
  const [people, setPeople] = useState('users');
  const [who, setWho] = useState('');
  const [names, setNames] = useState('');
  const [allow, setAllow] = useState<readonly string[]>(['pull']);
  const isNamed = people === 'users' || people === 'groups';
  const create = async (): Promise<void> => {
    await send('POST', 'rules', {
      [people]: isNamed ? wordsOf(who) : true,
      ...(names.trim() === '' ? {} : { names: wordsOf(names) }),
      allow,
    });
    announce('Created the rule');
    onClose();
    onDone();
  };
  return (
    <DialogForm
      title="New rule"
      submit="Create"
      what="The rule could not be created"
      isReady={allow.length > 0 && (!isNamed || who.trim() !== '')}
      onSubmit={create}
      onClose={onClose}
    >
      <SelectField
        label="Applies to"
        value={people}
        options={[
          ['users', 'users'],
          ['groups', 'groups'],
          ['authenticated', 'everyone who is logged in'],
          ['anonymous', 'everyone'],
        ]}
        onChange={setPeople}
      />
      {isNamed ? <TextField label="Names" value={who} onInput={setWho} help="Separated by spaces" /> : undefined}
      <TextField
        label="Images"
        value={names}
        onInput={setNames}
        help="Patterns of repository/image, such as local/team/**. Empty: everything."
      />
      <fieldset class="checks">
        <legend>Allows</legend>
        {permissions.map((permission) => (
          <CheckField
            key={permission}
            label={permission}
            checked={allow.includes(permission)}
            onChange={(isChecked) =>
              setAllow(permissions.filter((one) => (one === permission ? isChecked : allow.includes(one))))
            }
          />
        ))}
      </fieldset>
    </DialogForm>
  );
}

function DeleteRule({
  rule,
  onClose,
  onDone,
}: {
  readonly rule: RuleDocument;
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const remove = async (): Promise<void> => {
    await send('DELETE', `rules/${rule.id}`);
    announce('Deleted the rule');
    onClose();
    onDone();
  };
  return (
    <DialogForm
      title={`Delete rule ${rule.id}?`}
      submit="Delete"
      what="The rule could not be deleted"
      isDangerous
      onSubmit={remove}
      onClose={onClose}
    >
      <p>
        {describePeople(rule)}: {rule.allow.join(', ')} of {rule.names?.join(', ') ?? 'everything'}. This applies to the
        next request, even for tokens that were issued before.
      </p>
    </DialogForm>
  );
}
