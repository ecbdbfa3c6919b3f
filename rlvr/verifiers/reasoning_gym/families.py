"""Which task families of reasoning-gym give an answer to something that evaluates it.

Owns: the two lists, and the version of reasoning-gym that they were made from.
Does not own: what follows from it (`rlvr.verifiers.reasoning_gym.verifier`).

The lists come from reading each `score_answer` and from running it: a test watches what the interpreter executes while
each family scores answers of many shapes (tests/rlvr/verifiers/reasoning_gym/test_families.py). A family that stands in
neither list, and each family of another version, counts as one that evaluates.
"""

EXAMINED = "0.1.25"

EVALUATING = {
    "binary_matrix": "eval",
    "countdown": "sympy's parse_expr",
    "intermediate_integration": "sympy's parse_expr",
    "n_queens": "eval",
    "polynomial_multiplication": "sympy's parse_expr",
    "puzzle24": "sympy's parse_expr",
    "simple_integration": "sympy's parse_expr",
    "spiral_matrix": "eval",
    "string_insertion": "eval",
}
"""Families whose scorers evaluate the answer, and what they give it to."""

_PLAIN = """
    ab acre advanced_geometry aiw arc_1d arc_agi base_conversion basic_arithmetic bf binary_alternation
    bitwise_arithmetic boxnet caesar_cipher calendar_arithmetic chain_sum circuit_logic codeio coin_flip
    color_cube_rotation complex_arithmetic count_bits count_primes course_schedule cryptarithm decimal_arithmetic
    decimal_chain_sum dice emoji_mystery family_relationships figlet_font fraction_simplification futoshiki
    game_of_life game_of_life_halting gcd graph_color group_anagrams gsm_symbolic isomorphic_strings jugs kakurasu
    knight_swap knights_knaves largest_island lcm leg_counting letter_counting letter_jumble list_functions
    mahjong_puzzle manipulate_matrix maze mini_sudoku modulo_grid needle_haystack number_filtering number_format
    number_sequence number_sorting palindrome_generation palindrome_partitioning path_star polynomial_equations
    pool_matrix power_function prime_factorization products propositional_logic quantum_lock ransom_note rearc
    rectangle_count rotate_matrix rotten_oranges rubiks_cube rush_hour self_reference sentence_reordering
    shortest_path simple_equations simple_geometry sokoban spell_backward string_manipulation string_splitting
    string_synthesis sudoku survo syllogism time_intervals tower_of_hanoi tsumego word_ladder
    word_sequence_reversal word_sorting zebra_puzzles
    """
PLAIN = frozenset(_PLAIN.split())
"""Families whose scorers read the answer as text, numbers or JSON. `number_sorting` and `bitwise_arithmetic` evaluate
text of their own entries, never the answer."""


def evaluates(family: str, version: str) -> bool:
    """Returns whether a family's scorer may evaluate an answer, in a version of reasoning-gym."""
    return family not in PLAIN or version != EXAMINED
