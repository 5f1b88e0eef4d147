import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { FindingDocument } from '../../../../src/protocol/documents/access.js';
import { get } from '../../api.ts';
import { setQuery } from '../../location.ts';
import { TextField } from '../../parts/field.tsx';
import { Answered } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { useAnswer } from '../../use-answer.ts';
import { describePeople, wordsOf } from './access-rules.tsx';

type Report = Readonly<Record<string, unknown>>;
interface Row {
  readonly permission: string;
  readonly finding: FindingDocument;
}

const permissions = ['pull', 'push', 'delete', 'monitor', 'admin'];

/** Shows what the rules allow a user, which rules do, and what would be needed otherwise. */
export function AccessCheck({ query }: { readonly query: URLSearchParams }): VNode {
  const [user, setUser] = useState(query.get('user') ?? '');
  const [groups, setGroups] = useState(query.get('groups') ?? '');
  const [image, setImage] = useState(query.get('image') ?? '');
  const isAsked = query.has('asked');
  return (
    <>
      <form
        class="check-form"
        onSubmit={(event) => {
          event.preventDefault();
          setQuery({ user: user.trim(), groups: groups.trim(), image: image.trim(), asked: 'true' });
        }}
      >
        <TextField label="User" value={user} onInput={setUser} help="Empty: an anonymous user" />
        <TextField label="Further groups" value={groups} onInput={setGroups} help="Separated by spaces" />
        <TextField label="Image" value={image} onInput={setImage} help="repository/image. Empty: the whole registry" />
        <button type="submit" class="primary">
          Check
        </button>
      </form>
      {isAsked ? <Findings query={query} /> : undefined}
    </>
  );
}

function Findings({ query }: { readonly query: URLSearchParams }): VNode {
  const user = query.get('user') ?? '';
  const person = user === '' ? { anonymous: true } : { user, groups: wordsOf(query.get('groups') ?? '') };
  const answer = useAnswer(
    (signal) => get<Report>('access/check', { ...person, image: query.get('image') ?? undefined }, signal),
    [query.toString()],
  );
  return (
    <Answered answer={answer} what="The access could not be checked">
      {(report) => {
        const rows = permissions.flatMap((permission): readonly Row[] => {
          const finding = report[permission];
          return finding === undefined ? [] : [{ permission, finding: finding as FindingDocument }];
        });
        return (
          <Table caption="What the rules allow" rows={rows} columns={columns} keyOf={({ permission }) => permission} />
        );
      }}
    </Answered>
  );
}

const columns: readonly Column<Row>[] = [
  { key: 'permission', title: 'May', cell: ({ permission }) => <span class="number">{permission}</span> },
  {
    key: 'allowed',
    title: 'Allowed',
    cell: ({ finding }) => (finding.allowed ? <span class="badge good">yes</span> : <span class="badge bad">no</span>),
  },
  { key: 'why', title: 'Why', isText: true, cell: ({ finding }) => explain(finding) },
];

function explain({ allowed: isAllowed, by, would_need: need }: FindingDocument): string {
  if (isAllowed) return by.length === 0 ? 'open to everyone' : `by ${by.join(', ')}`;
  if (need?.enabled_account === true) return 'the account is disabled';
  const login = need?.login === true ? 'needs a login' : '';
  const groups = need?.groups === undefined ? '' : `needs one of the groups ${need.groups.join(', ')}`;
  const rule = need?.rule === undefined ? '' : `needs a rule that allows it to ${describePeople(need.rule)}`;
  return [login, groups, rule].filter((text) => text !== '').join('; ') || 'no rule allows it';
}
