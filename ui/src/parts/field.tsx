import type { ComponentChildren, VNode } from 'preact';
import { useId } from 'preact/hooks';

/** The properties of every field. */
interface FieldTexts {
  readonly label: string;
  readonly help?: ComponentChildren;
  /** The problem with the value. */
  readonly problem?: string | undefined;
}

/** A text field with its label. */
export function TextField({
  label,
  value,
  onInput,
  help,
  problem,
  ...input
}: FieldTexts & {
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly type?: 'text' | 'password' | 'search' | 'number' | 'url';
  readonly name?: string;
  readonly autocomplete?: string;
  readonly placeholder?: string;
  readonly required?: boolean;
  readonly spellcheck?: boolean;
}): VNode {
  return (
    <Field label={label} help={help} problem={problem}>
      {(attributes) => (
        <input
          autocapitalize="off"
          spellcheck={false}
          autocomplete="off"
          {...input}
          {...attributes}
          value={value}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** A field for several lines, with its label. */
export function AreaField({
  value,
  onInput,
  ...texts
}: FieldTexts & {
  readonly value: string;
  readonly onInput: (value: string) => void;
}): VNode {
  return (
    <Field {...texts}>
      {(attributes) => (
        <textarea
          {...attributes}
          rows={3}
          spellcheck={false}
          value={value}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** A list to choose from, with its label. */
export function SelectField({
  value,
  options,
  onChange,
  ...texts
}: FieldTexts & {
  readonly value: string;
  /** Values with their texts. */
  readonly options: readonly (readonly [value: string, text: string])[];
  readonly onChange: (value: string) => void;
  /** Whether only screen readers get the label. */
  readonly isCompact?: boolean;
}): VNode {
  return (
    <Field {...texts}>
      {(attributes) => (
        <select {...attributes} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          {options.map(([option, text]) => (
            <option key={option} value={option}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** The attributes that connect an element to its label and its help. */
interface FieldAttributes {
  readonly id: string;
  readonly 'aria-invalid'?: boolean;
  readonly 'aria-describedby'?: string;
}

/** An element between its label and its help. A compact one shows neither. */
function Field({
  label,
  help,
  problem,
  isCompact = false,
  children,
}: FieldTexts & {
  readonly isCompact?: boolean;
  readonly children: (attributes: FieldAttributes) => VNode;
}): VNode {
  const id = useId();
  if (isCompact) {
    return (
      <div class="field compact">
        <label for={id} class="hidden">
          {label}
        </label>
        {children({ id })}
      </div>
    );
  }
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, 'aria-invalid': problem !== undefined, 'aria-describedby': `${id}-help` })}
      <Help id={id} help={help} problem={problem} />
    </div>
  );
}

function Help({
  id,
  help,
  problem,
}: {
  readonly id: string;
  readonly help: ComponentChildren;
  readonly problem: string | undefined;
}): VNode {
  return (
    <p id={`${id}-help`}>
      {problem === undefined ? undefined : <span class="wrong">{problem}. </span>}
      <span class="faint">{help}</span>
    </p>
  );
}

/** A check box with its label. */
export function CheckField({
  label,
  checked,
  onChange,
  help,
  problem,
}: FieldTexts & {
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
}): VNode {
  const id = useId();
  const isPlain = help === undefined && problem === undefined;
  const field = (
    <label class="check">
      <input
        type="checkbox"
        checked={checked}
        {...(isPlain ? {} : { 'aria-describedby': `${id}-help` })}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      {label}
    </label>
  );
  if (isPlain) return field;
  return (
    <div class="field">
      {field}
      <Help id={id} help={help} problem={problem} />
    </div>
  );
}

/** A field that filters a list while the user types. */
export function FilterField({
  label,
  value,
  onInput,
}: {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
}): VNode {
  return (
    <input
      type="search"
      class="filter"
      aria-label={label}
      placeholder={label}
      value={value}
      spellcheck={false}
      onInput={(event) => onInput(event.currentTarget.value)}
    />
  );
}
